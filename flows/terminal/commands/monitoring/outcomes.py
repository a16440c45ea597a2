"""Tell the ledger what came of predictions."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from asof.errors import ConfigurationError
from asof.extracts.sources import DEFAULT_SERVER
from flows.runtime.environment import settings_with_database
from flows.terminal.command import UseCaseCommand
from flows.terminal.options import AnyUseCase, Json, exit_with
from flows.terminal.output import run_command
from flows.terminal.screens.monitoring.outcomes import loaded_screen

commands = typer.Typer(no_args_is_help=True, help=__doc__)


@commands.command(cls=UseCaseCommand)
def load(
    use_case: AnyUseCase,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A CSV file (.csv, .csv.gz, .csv.zst), or a Parquet file or folder."),
    ] = None,
    query: Annotated[str | None, typer.Option(help="In place of a file: a query, or a table, of PostgreSQL.")] = None,
    server: Annotated[
        str, typer.Option(help="The server of the query: that of ASOF_SOURCE_URL, or NAME of ASOF_SOURCE_URL_<NAME>.")
    ] = DEFAULT_SERVER,
    complete: Annotated[
        bool, typer.Option("--complete", help="These are all outcomes of their moments: their predictions are mature.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Load outcomes: the keys and as_of, or request_id; outcome, observed_at; perhaps item, acted, control, key.

    Exit code 1 if a row is rejected or unknown; the others are loaded.
    """
    with run_command(
        "loading", as_json=as_json, kept="Loaded rows are kept; the same command loads the others."
    ) as emit:
        if (file is None) == (query is None):
            raise ConfigurationError("Name either a file of outcomes or a --query.")
        from asof.extracts.sources import PostgresQuery
        from asof.ledger.outcomes.record import Verdict
        from asof.use_cases import load as load_use_case
        from flows.runtime.progress import log
        from monitoring.outcomes.load import declare_complete, load_outcomes, moments_of
        from monitoring.outcomes.tables import items, read_file, read_query
        from training.data.snapshots.provenance import actor

        settings, problem = settings_with_database(), load_use_case(use_case)
        log.info("reading")
        rows = read_file(file, problem) if file else read_query(settings, PostgresQuery(query or "", server), problem)
        moments = moments_of(problem, items(rows, problem), settings.now()) if complete else []
        done = load_outcomes(settings, problem, items(rows, problem), log.info)
        if moments and not done.verdicts[Verdict.REJECTED]:
            declare_complete(settings, problem, moments, actor(settings))
            done = replace(done, complete=moments)
        emit(done, loaded_screen)
    exit_with("", failed=bool(done.refused))
