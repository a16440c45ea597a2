"""The jobs of a new stack: `python -m flows.terminal.first_start ingest | train`. May be repeated: what is done is not
done again.

docker-compose.yml starts them at each `up`. What they are told comes as arguments or as variables of the container.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.runtime.door import default_use_case, open_settings, open_tracked_settings
from flows.terminal.output import account

if TYPE_CHECKING:
    from simulator import SimulationPlan

door = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

DAY = ["%Y-%m-%d"]


@door.command()
def ingest(
    folder: Path = Path("data/extracts"),
    first: Annotated[datetime | None, typer.Option(envvar="FIRST_AS_OF", formats=DAY)] = None,
    users: Annotated[int, typer.Option(envvar="USERS")] = 7043,
    months: Annotated[int, typer.Option(envvar="MONTHS")] = 6,
) -> None:
    """Load the folder's extracts; where it has none and nothing was ever loaded, simulated ones."""
    with account("ingesting", as_json=True) as say:
        settings = open_settings()
        from flows.ingest_flow import ingest as flow
        from training.data.extracts.deliveries import anything_delivered
        from training.data.snapshots.snapshot import anything_loaded

        if anything_delivered(folder):
            say(_told(flow(str(folder), first.date() if first else None)))
        elif anything_loaded(settings):
            say({"next": f"There is no extract in {folder}, and something is loaded already: nothing was done."})
        else:
            plan = _simulate(settings.home / "extracts", users, months)
            say(_told(flow(str(settings.home / "extracts"), plan.as_of(0), backfill=True)))


@door.command()
def train(use_case: Annotated[str, typer.Option(default_factory=default_use_case)]) -> None:
    """Train the first version, unless one is in Production; exit code 1 where the gate does not let it in."""
    with account("training", as_json=True) as say:
        settings = open_tracked_settings()
        from asof.use_cases import load
        from flows.retrain_flow import retrain as flow
        from training.release.registry.versions import production

        there = production(settings, load(use_case))
        done = {"promoted": True, "version": there.version} if there else flow(use_case)["promotion"]
        say(done)
    raise typer.Exit(0 if done["promoted"] else 1)


def _told(done: dict[str, Any]) -> dict[str, Any]:
    """In a line of a log."""
    new = {each["folder"]: sum(each["new_rows"].values()) for each in done["deliveries"]}
    return {"new_rows": new, "parity": done["parity"]["summary"], "next": done["parity"]["next"]}


def _simulate(folder: Path, users: int, months: int) -> "SimulationPlan":
    from simulator import SimulationPlan, month_end_before, simulate

    plan = SimulationPlan(month_end_before(datetime.now(UTC).date()), users=users, months=months)
    simulate(plan, folder)
    return plan


if __name__ == "__main__":
    door()
