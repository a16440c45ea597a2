"""Commands on extracts, snapshots and the online store."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from asof.extracts.cadence import Every, moment_of
from flows.runtime.environment import settings_with_database
from flows.terminal.command import AsOfCommand, UseCaseCommand
from flows.terminal.options import (
    DAY,
    MOMENT,
    AsOf,
    First,
    FirstOfRange,
    Json,
    KnownAt,
    StoreUseCase,
    exit_with,
    parse_moment,
)
from flows.terminal.output import Verbosity, run_command, verbosity
from flows.terminal.runs import choose_run
from flows.terminal.screens.data import (
    ingest_screen,
    inspection_screen,
    lake_screen,
    parity_screen,
    simulation_screen,
    switch_screen,
)

commands = typer.Typer()

STORES = {"wide": "online_store.store.WideOnlineStore"}
"""Short names of online stores."""


@commands.command(cls=AsOfCommand)
def simulate(
    folder: Annotated[Path, typer.Argument(help="Output folder.")] = Path("data/extracts"),
    users: Annotated[int, typer.Option(min=1)] = 7043,
    months: Annotated[int, typer.Option(min=1, help="Number of months, the last one included.")] = 6,
    until: Annotated[
        datetime | None, typer.Option(formats=DAY, help="The last month end; default: the one before today.")
    ] = None,
    seed: int = 42,
    late_share: Annotated[float, typer.Option(help="Share of rows that arrive a month late.")] = 0.0,
    correction_share: Annotated[float, typer.Option(help="Share of rows that are corrected a month later.")] = 0.0,
    drift: Annotated[float, typer.Option(help="Shift of the features from month to month.")] = 0.0,
    drift_month: Annotated[int | None, typer.Option(help="The one month in which they shift, instead of each.")] = None,
    drift_end_month: Annotated[
        int | None, typer.Option(help="The first month after that in which they are as before.")
    ] = None,
    concept_change_month: Annotated[
        int | None, typer.Option(help="First month in which churn has other causes.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write simulated monthly StreamFlow extracts and their ground truth."""
    with run_command("simulating", as_json=as_json, spinner=False) as emit:
        from simulator import SimulationPlan, month_end_before
        from simulator import simulate as stage

        plan = SimulationPlan(
            until.date() if until else month_end_before(datetime.now(UTC).date()),
            users=users,
            months=months,
            seed=seed,
            late_share=late_share,
            correction_share=correction_share,
            drift=drift,
            drift_month=drift_month,
            drift_end_month=drift_end_month,
            concept_change_month=concept_change_month,
        )
        with Progress(console=Console(stderr=True), transient=True, disable=verbosity() is Verbosity.QUIET) as bar:
            rows = bar.add_task("simulating")
            done = stage(plan, folder, progress=lambda done, total: bar.update(rows, completed=done, total=total))
        next_step = f"python -m flows ingest {folder} --as-of {plan.as_of(0)} --backfill"
        emit({**asdict(done), "next": next_step}, simulation_screen)


@commands.command(cls=UseCaseCommand)
def inspect(
    use_case: StoreUseCase,
    what: Annotated[
        str | None,
        typer.Argument(metavar="EXTRACTS|AS_OF", help="A folder of extracts, or a loaded moment; default: the newest."),
    ] = None,
    as_of: First = None,
    known_at: KnownAt = None,
    page: Annotated[
        Path | None, typer.Option(help="The HTML page to write; default: one in ASOF_HOME/inspections.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the data and write a page with charts. Exit code 1 if a finding would stop training."""
    result: dict[str, Any] = {}
    with run_command("inspecting", as_json=as_json) as emit:
        from flows.stages.inspect import inspect as stage
        from flows.stages.inspect import inspect_folder

        folder, page_path = Path(what or ""), str(page) if page else None
        if what and folder.is_dir():
            result = inspect_folder(use_case, folder, as_of, page_path)
        else:
            settings_with_database()
            result = choose_run()(stage, use_case, parse_moment(what) if what else None, known_at, page_path)
        emit(result, inspection_screen)
    raise typer.Exit(1 if result["stops"] else 0)


@commands.command(cls=UseCaseCommand)
def ingest(
    use_case: StoreUseCase,
    folder: Annotated[
        Path,
        typer.Argument(help="Holds month_000, labels_000, ... or is one extract; not needed where tables are queried."),
    ] = Path("data/extracts"),
    as_of: FirstOfRange = None,
    to: Annotated[
        datetime | None, typer.Option("--to", formats=MOMENT, help="Of queries: also each later moment, up to this.")
    ] = None,
    every: Annotated[Every | None, typer.Option(help="The step of these moments; default: the use case's.")] = None,
    backfill: Annotated[
        bool, typer.Option(help="Set `known_at` of each extract to its earliest possible moment, not to now.")
    ] = False,
    online_as_of: Annotated[
        datetime | None, typer.Option(formats=MOMENT, help="Materialise as of this moment, UTC; default: the newest.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Rewrite every view in the online store.")] = False,
    as_json: Json = False,
) -> None:
    """Load extracts, or what the use case's queries give, into dated snapshots and materialise the online store."""
    with run_command(
        "ingesting", as_json=as_json, kept="Loaded deliveries are kept; the same command loads the others."
    ) as emit:
        settings_with_database()
        from flows.stages.ingest import ingest as stage

        result = choose_run()(stage, str(folder), as_of, backfill, online_as_of, use_case, whole, to, every)
        emit(result, ingest_screen)
    failed = result["parity"]["wrong"] > 0 or bool(result["parity"]["misfit"])
    exit_with(result["parity"]["next"], failed=failed)


@commands.command(cls=UseCaseCommand)
def parity(
    use_case: StoreUseCase,
    as_of: AsOf = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Number of users, chosen by hash; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Compare the online store with the snapshots, feature by feature. Exit code 1 if anything differs."""
    with run_command("comparing", as_json=as_json) as emit:
        settings_with_database()
        from flows.stages.parity import parity as stage

        result = choose_run()(stage, use_case, as_of, sample)
        emit(result, parity_screen)
    exit_with(result["next"], failed=not result["agrees"])


@commands.command(cls=UseCaseCommand)
def lake(
    use_case: StoreUseCase,
    to: Annotated[Path | None, typer.Option(help="The folder of the lake; default: ASOF_LAKE.")] = None,
    known_at: KnownAt = None,
    as_json: Json = False,
) -> None:
    """Write the snapshots as Parquet files, from which training sets are read by Feast's DuckDB store."""
    with run_command("writing", as_json=as_json, kept="The lake of before stays.") as emit:
        settings = settings_with_database()
        from asof.use_cases import load
        from training.features.datasets.lake.export import export_lake, folder_of_lake

        folder = folder_of_lake(settings, to)
        known = moment_of(known_at) if known_at else None
        done = export_lake(settings, load(use_case), folder, known_at=known)
        rows = {name: part.rows for name, part in done.parts.items()}
        result = {"folder": folder / use_case, "known_at": done.known_at, "rows": rows}
        emit({**result, "next": f"ASOF_LAKE={folder} python -m flows retrain {use_case}"}, lake_screen)


@commands.command("switch-store", cls=UseCaseCommand)
def switch_store(
    use_case: StoreUseCase,
    to: Annotated[str, typer.Argument(metavar="wide|postgres|TYPE", help="Our store, Feast's own, or a Feast `type`.")],
    drop: Annotated[bool, typer.Option("--drop", help="Delete the tables of the previous store.")] = False,
    file: Annotated[
        Path | None, typer.Option(help="The file that sets ASOF_ONLINE_STORE; default: the project's .env.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Switch to another online store: fill it, compare it, then use it. Exit code 1 if the stores differ."""
    kept = "The store in use stays; the same command fills and compares the other again."
    with run_command("switching", as_json=as_json, kept=kept) as emit:
        from asof.settings import PROJECT
        from asof.use_cases import load
        from flows.runtime.progress import log
        from training.features.parity.store_switch import switch_store as stage

        settings, problem, target = settings_with_database(), load(use_case), STORES.get(to, to)
        done = stage(settings, problem, target, file=file or PROJECT / ".env", drop=drop, progress=log.info)
        next_step = "restart the services (`make up`): they still read the previous store."
        emit({**asdict(done), "next": next_step}, switch_screen)
