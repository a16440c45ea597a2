"""Writes the extracts of a SimulationPlan to a folder, with the truth beside them."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asof.errors import ConfigurationError
from asof.use_cases.churn.raw_schema import EXTRACT
from simulator.extracts import write_month
from simulator.hazard import CHANGED, NOISE, USUAL
from simulator.months import hazard_in, simulate_months
from simulator.plan import SimulationPlan

FORMAT = 1
"""To be increased when the same plan gives different bytes."""
PLAN_FILE = Path("truth") / "plan.json"

Progress = Callable[[int, int], None]
"""Called with rows done and the total; a row is one user in one month."""


@dataclass(frozen=True)
class Simulation:
    """The contents of `folder`. `leaving_rates` are the shares of users that leave, for every month.

    `written` is False if the folder already had the output of the same plan.
    """

    plan: SimulationPlan
    folder: Path
    leaving_rates: tuple[float, ...]
    written: bool


def simulate(
    plan: SimulationPlan, folder: Path, *, progress: Progress | None = None, chunk_rows: int = 65_536
) -> Simulation:
    """Writes all deliveries of the plan to `folder`, which must be absent, empty or have the output of the same plan.

    `chunk_rows` users are in memory at a time, without an effect on the output. It is written to a temporary folder
    that is renamed at the end, so that a failed run leaves nothing. Raises ConfigurationError where the folder has
    other contents.
    """
    folder = folder.resolve()
    if _occupied(folder):
        return _existing(plan, folder)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        rates = _write(plan, partial, progress or (lambda _done, _total: None), chunk_rows)
        (partial / PLAN_FILE).write_text(json.dumps(_document(plan, rates), indent=2) + "\n", encoding="utf-8")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Simulation(plan, folder, rates, written=True)


def _write(plan: SimulationPlan, folder: Path, progress: Progress, chunk_rows: int) -> tuple[float, ...]:
    left, done = [0] * plan.months, 0
    for first in range(0, plan.users, chunk_rows):
        rows = min(chunk_rows, plan.users - first)
        for month in simulate_months(plan, first, rows):
            write_month(month, plan, folder)
            left[month.index] += int(month.left.sum())
            done += rows
            progress(done, plan.users * plan.months)
    return tuple(count / plan.users for count in left)


def _occupied(folder: Path) -> bool:
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file; give a folder to simulate into.")
    return folder.exists() and any(folder.iterdir())


def _existing(plan: SimulationPlan, folder: Path) -> Simulation:
    try:
        document = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
        rates = tuple(month["leaving_rate"] for month in document["months"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{folder} holds other files; give an empty or new folder to simulate into.") from None
    if document != json.loads(json.dumps(_document(plan, rates))) or not _complete(plan, folder):
        raise ConfigurationError(f"{folder} holds another simulation; remove it, or give an empty or new folder.")
    return Simulation(plan, folder, rates, written=False)


def _complete(plan: SimulationPlan, folder: Path) -> bool:
    tables = {"month": EXTRACT.tables, "labels": (EXTRACT.labels,)}
    return all(
        (folder / delivery / f"{table.name}.csv").is_file()
        for delivery in plan.deliveries()
        for table in tables[delivery.split("_")[0]]
    )


def _document(plan: SimulationPlan, rates: tuple[float, ...]) -> dict[str, Any]:
    parameters = {**asdict(plan), "last_as_of": plan.last_as_of.isoformat()}
    for name in ("drift_month", "drift_end_month"):
        if parameters[name] is None:
            del parameters[name]  # as in plans from before there was one
    return {
        "format": FORMAT,
        "plan": parameters,
        "months": [
            {
                "month": month,
                "as_of": plan.as_of(month).isoformat(),
                "hazard": hazard_in(plan, month).name,
                "drift": plan.drift_in(month),
                "leaving_rate": rate,
            }
            for month, rate in enumerate(rates)
        ],
        "hazards": [asdict(hazard) for hazard in (USUAL, CHANGED)],
        "noise": NOISE,
    }
