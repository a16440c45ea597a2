"""SimulationPlan, folder -> Simulation: monthly StreamFlow extracts on disk, with the truth beside them."""

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
from simulator.months import hazard_in, live_through
from simulator.plan import SimulationPlan

FORMAT = 1
"""To be raised when the same plan gives other bytes than before."""
PLAN_FILE = Path("truth") / "plan.json"

Progress = Callable[[int, int], None]
"""Takes rows done and rows in all; one row is one user in one month."""


@dataclass(frozen=True)
class Simulation:
    """What lies in `folder`. `leaving_rates` has the share that left for each month, the newest included.

    `written` is False where the folder held the same plan already and was left alone.
    """

    plan: SimulationPlan
    folder: Path
    leaving_rates: tuple[float, ...]
    written: bool


def simulate(
    plan: SimulationPlan, folder: Path, *, progress: Progress | None = None, chunk_rows: int = 65_536
) -> Simulation:
    """Writes every delivery of the plan below `folder`, which must be absent, empty or hold this very plan.

    `chunk_rows` users are in memory at a time; it changes no byte of the output. All is written into a folder beside
    the target that takes its name at the end: a run that fails leaves nothing. Raises ConfigurationError where the
    folder holds something else.
    """
    folder = folder.resolve()
    if _occupied(folder):
        return _standing(plan, folder)
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
        for month in live_through(plan, first, rows):
            write_month(month, plan, folder)
            left[month.index] += int(month.left.sum())
            done += rows
            progress(done, plan.users * plan.months)
    return tuple(count / plan.users for count in left)


def _occupied(folder: Path) -> bool:
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file; give a folder to simulate into.")
    return folder.exists() and any(folder.iterdir())


def _standing(plan: SimulationPlan, folder: Path) -> Simulation:
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
    return {
        "format": FORMAT,
        "plan": {**asdict(plan), "last_as_of": plan.last_as_of.isoformat()},
        "months": [
            {
                "month": month,
                "as_of": plan.as_of(month).isoformat(),
                "hazard": hazard_in(plan, month).name,
                "drift": plan.drift * month,
                "leaving_rate": rate,
            }
            for month, rate in enumerate(rates)
        ],
        "hazards": [asdict(hazard) for hazard in (USUAL, CHANGED)],
        "noise": NOISE,
    }
