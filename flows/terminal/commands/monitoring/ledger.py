"""Read and keep the ledger: what each answer rested on.

The prediction service keeps its answers if it is started with ASOF_LEDGER=process or disk; `make up` does.
"""

from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from flows.runtime.environment import settings_with_database
from flows.terminal.command import AsOfCommand, UseCaseCommand
from flows.terminal.options import MOMENT, AnyUseCase, Json
from flows.terminal.output import run_command
from flows.terminal.screens.machine import keep_screen
from flows.terminal.screens.monitoring.ledger import answers_screen

commands = typer.Typer(no_args_is_help=True, help=__doc__)

Entity = Annotated[str | None, typer.Option(help="An id, or a JSON object of several keys.")]
Since = Annotated[datetime | None, typer.Option(formats=MOMENT, help="Answers from this moment on, UTC.")]
Until = Annotated[datetime | None, typer.Option(formats=MOMENT, help="Answers before this moment, UTC.")]


@commands.command(cls=UseCaseCommand)
def find(
    use_case: AnyUseCase,
    entity: Entity = None,
    request: Annotated[str | None, typer.Option(help="A request id; of a batch's item ID:PLACE.")] = None,
    since: Since = None,
    until: Until = None,
    code: Annotated[str | None, typer.Option(help="Refusals with this code, such as missing-features.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    as_json: Json = False,
) -> None:
    """Find kept answers, the newest first. With --json each has its values. Exit code 1 if there is none."""
    with run_command("reading", as_json=as_json) as emit:
        from asof.ledger.reading.choose import find_kept
        from asof.ledger.reading.kept_answer import answer_as_json
        from asof.ledger.reading.moved import moved_months
        from asof.use_cases import load

        settings = settings_with_database()
        answers = find_kept(
            settings,
            load(use_case),
            request=request,
            entity=entity,
            since=since,
            until=until,
            code=code,
            limit=limit,
        )
        plain = [answer_as_json(each) for each in answers]
        few = len(answers) < (1 if request else limit)
        moved = moved_months(settings, request=request, since=since, until=until) if few else []
        emit(
            {"use_case": use_case, "limit": limit, "answers": plain, "moved": [vars(each) for each in moved]},
            answers_screen,
        )
    raise typer.Exit(0 if answers else 1)


@commands.command(cls=AsOfCommand)
def keep(
    days: Annotated[int, typer.Option(min=31, help="Months that ended so many days ago are moved.")] = 400,
    to: Annotated[Path | None, typer.Option(help="The folder of the files; default: archive in ASOF_HOME.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be moved, and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Move old months of answers to Parquet files, and make the partitions of the months to come."""
    kept = "A month is dropped only once its file is verified; the same command goes on."
    with run_command("moving", as_json=as_json, kept=kept) as emit:
        from asof.settings import Settings
        from monitoring.retention.keep import keep_ledger
        from roles.provision import owner_conninfo

        settings = Settings()
        folder, before = to or settings.home.absolute() / "archive", settings.now() - timedelta(days=days)
        emit(asdict(keep_ledger(owner_conninfo(settings), folder, before, dry_run=dry_run)), keep_screen)
