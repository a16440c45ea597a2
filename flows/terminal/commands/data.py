"""Commands on extracts, snapshots and the online store."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from flows.runtime.door import open_settings
from flows.terminal.for_people import for_people, moment
from flows.terminal.options import MOMENT, AsOf, DefaultUseCase, First, Json, KnownAt, UseCaseOption, exit_with
from flows.terminal.output import account

commands = typer.Typer()

STORES = {"wide": "online_store.store.WideOnlineStore"}
"""Names that are shorter than Feast's."""


@commands.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="Where the extracts go.")] = Path("data/extracts"),
    users: Annotated[int, typer.Option(min=1)] = 7043,
    months: Annotated[int, typer.Option(min=1, help="Up to the last month end.")] = 6,
    seed: int = 42,
    late_share: Annotated[float, typer.Option(help="Share of rows that arrive a month late.")] = 0.0,
    correction_share: Annotated[float, typer.Option(help="Share of rows that are corrected a month later.")] = 0.0,
    drift: Annotated[float, typer.Option(help="Shift of the inputs from month to month.")] = 0.0,
    concept_change_month: Annotated[
        int | None, typer.Option(help="From this month on, churn has other causes.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write monthly StreamFlow extracts, with the truth beside them."""
    with account("simulating", as_json=as_json, quiet=True) as say:
        from simulator import SimulationPlan, month_end_before
        from simulator import simulate as stage

        plan = SimulationPlan(
            month_end_before(datetime.now(UTC).date()),
            users=users,
            months=months,
            seed=seed,
            late_share=late_share,
            correction_share=correction_share,
            drift=drift,
            concept_change_month=concept_change_month,
        )
        with Progress(console=Console(stderr=True), transient=True) as bar:
            rows = bar.add_task("simulating")
            done = stage(plan, folder, progress=lambda done, total: bar.update(rows, completed=done, total=total))
        say({**asdict(done), "next": f"python -m flows ingest {folder} --as-of {plan.as_of(0)} --backfill"})


@commands.command()
def inspect(
    use_case: UseCaseOption,
    what: Annotated[
        str | None, typer.Argument(metavar="EXTRACTS|AS_OF", help="A folder, or a loaded month; default: the newest.")
    ] = None,
    as_of: First = None,
    known_at: KnownAt = None,
    page: Annotated[Path | None, typer.Option(help="Where the HTML page goes; default: ASOF_HOME/inspections.")] = None,
    as_json: Json = False,
) -> None:
    """Check the data: findings, and a page with pictures. Exit code 1 if one of them would stop training."""
    found: dict[str, Any] = {}
    with account("inspecting", as_json=as_json) as say:
        from flows.inspect_flow import inspect as flow
        from flows.inspect_flow import inspect_folder

        place, told = Path(what or ""), str(page) if page else None
        if what and place.is_dir():
            found = inspect_folder(use_case, place, as_of.date() if as_of else None, told)
        else:
            open_settings()
            found = flow(use_case, moment(what) if what else None, known_at, told)
        say(found if as_json else for_people(found))
    raise typer.Exit(1 if found["stops"] else 0)


@commands.command()
def ingest(
    use_case: UseCaseOption,
    folder: Annotated[Path, typer.Argument(help="month_000, labels_000, ... or one extract.")] = Path("data/extracts"),
    as_of: First = None,
    backfill: Annotated[bool, typer.Option(help="Each counts as known when it could have been, not from now.")] = False,
    online_as_of: Annotated[
        datetime | None, typer.Option(formats=MOMENT, help="What the online store shows, UTC; default: the newest.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Write every view anew, over what others wrote.")] = False,
    as_json: Json = False,
) -> None:
    """Load extracts into dated snapshots and bring the online store up to date."""
    with account("ingesting", as_json=as_json) as say:
        open_settings()
        from flows.ingest_flow import ingest as flow
        from flows.parity_flow import narrow

        result = flow(str(folder), as_of.date() if as_of else None, backfill, online_as_of, use_case, whole)
        say(result if as_json else {**result, "parity": narrow(result["parity"])})
    failed = result["parity"]["wrong"] > 0 or bool(result["parity"]["misfit"])
    exit_with(result["parity"]["next"], failed=failed)


@commands.command()
def parity(
    use_case: DefaultUseCase,
    as_of: AsOf = None,
    sample: Annotated[int | None, typer.Option(min=1, help="So many users, drawn by a hash; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Compare the online store with the snapshots, feature by feature; exit code 1 where anything differs."""
    with account("comparing", as_json=as_json) as say:
        open_settings()
        from flows.parity_flow import narrow
        from flows.parity_flow import parity as flow

        result: Any = flow(use_case, as_of, sample, return_state=True).result(raise_on_failure=False)
        if isinstance(result, Exception):
            raise result
        say(result if as_json else narrow(result))
    exit_with(result["next"], failed=not result["agrees"])


@commands.command("switch-store")
def switch_store(
    use_case: UseCaseOption,
    to: Annotated[str, typer.Argument(metavar="wide|postgres|TYPE", help="Ours, Feast's own, or a `type` of Feast's.")],
    drop: Annotated[bool, typer.Option("--drop", help="Delete the tables of the store in use until now.")] = False,
    file: Annotated[
        Path | None, typer.Option(help="Where ASOF_ONLINE_STORE is set; default: the project's .env.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fill another online store, compare it with the one in use, and use it from now on; exit code 1 if they differ."""
    with account("switching", as_json=as_json) as say:
        from asof.settings import PROJECT
        from asof.use_cases import load
        from flows.runtime.progress import log
        from training.features.parity.store_switch import switch_store as stage

        settings, problem, target = open_settings(), load(use_case), STORES.get(to, to)
        done = stage(settings, problem, target, file=file or PROJECT / ".env", drop=drop, progress=log.info)
        say({**asdict(done), "next": "Start the services anew (`make up`): they still read the store of before."})
