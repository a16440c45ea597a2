"""The jobs of a new stack in docker-compose.yml: `python -m flows.terminal.first_start ingest | train`.

They run at each `up` and skip work that is done. Options can also be set by environment variables.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.runtime.environment import settings_with_database, settings_with_tracking
from flows.terminal.command import AsOfCommand, UseCaseCommand
from flows.terminal.options import DAY, AnyUseCase
from flows.terminal.output import run_command
from flows.terminal.runs import choose_run

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command(cls=AsOfCommand)
def ingest(
    folder: Path = Path("data/extracts"),
    first: Annotated[datetime | None, typer.Option(envvar="FIRST_AS_OF", formats=DAY)] = None,
    users: Annotated[int, typer.Option(envvar="USERS")] = 7043,
    months: Annotated[int, typer.Option(envvar="MONTHS")] = 6,
) -> None:
    """Load the folder's extracts; if it has none and nothing is loaded yet, load simulated ones."""
    with run_command("ingesting", as_json=True) as emit:
        settings = settings_with_database()
        from flows.stages.ingest import ingest as stage
        from training.data.extracts.deliveries import anything_delivered
        from training.data.snapshots.loads import anything_loaded

        if anything_delivered(folder):
            emit(_summary(choose_run()(stage, str(folder), first.date() if first else None)))
        elif anything_loaded(settings):
            emit({"next": f"No extract in {folder}, and extracts are loaded already: nothing was done."})
        else:
            from simulator import SimulationPlan, month_end_before, simulate

            plan = SimulationPlan(month_end_before(datetime.now(UTC).date()), users=users, months=months)
            simulate(plan, settings.home / "extracts")
            emit(_summary(choose_run()(stage, str(settings.home / "extracts"), plan.as_of(0), backfill=True)))


@app.command(cls=UseCaseCommand)
def train(use_case: AnyUseCase) -> None:
    """Train the first version unless one is in Production. Exit code 1 if it does not pass the gate."""
    with run_command("training", as_json=True) as emit:
        settings = settings_with_tracking()
        from asof.use_cases import load
        from flows.stages.retrain import retrain as stage
        from training.release.registry.versions import production

        current = production(settings, load(use_case))
        done = {"promoted": True, "version": current.version} if current else choose_run()(stage, use_case)["promotion"]
        emit(done)
    raise typer.Exit(0 if done["promoted"] else 1)


def _summary(done: dict[str, Any]) -> dict[str, Any]:
    """The result of the `ingest` flow in one line of a log."""
    new = {each["folder"]: sum(each["new_rows"].values()) for each in done["deliveries"]}
    return {"new_rows": new, "parity": done["parity"]["summary"], "next": done["parity"]["next"]}


if __name__ == "__main__":
    app()
