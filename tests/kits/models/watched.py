"""A simulated history in which the concept changes, a version trained before that, and what it answered since."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asof.settings import Settings, export
from asof.use_case import UseCase
from asof.use_cases import load
from flows.stages.ingest import ingest
from flows.stages.retrain import train_version
from simulator import SimulationPlan, simulate
from tests.kits.ledger.answered import answer_everybody
from tests.kits.models.promotion import always
from training.release.promotion.promote import promote

CHURN = load("churn")


@dataclass(frozen=True)
class Watched:
    """Versions in Production and their answers; `moments` are those of the extracts, the oldest first."""

    settings: Settings
    moments: Sequence[datetime]
    use_case: UseCase = CHURN

    def answer(self, version: str, *months: int) -> None:
        """The version answers everybody of these months."""
        for month in months:
            answer_everybody(self.settings, self.use_case, version, self.moments[month])


def watched(settings: Settings, plan: SimulationPlan, folder: Path) -> Watched:
    """Loads the extracts of a plan; version 1 is trained as of the first month, and in Production."""
    simulate(plan, folder)
    moments = [datetime.combine(plan.as_of(month), datetime.min.time(), UTC) for month in range(plan.months)]
    return watched_since(settings, moments, folder, backfill=True)


def watched_since(settings: Settings, moments: Sequence[datetime], folder: Path, *, backfill: bool) -> Watched:
    """The same of extracts in a folder, whose moments these are."""
    export(settings)
    ingest(str(folder), moments[0], backfill=backfill, use_case="churn")
    version = train_version("churn", moments[0], moments[1] if backfill else None, None)
    assert promote(settings, version, judge=always).promoted  # the gate knows what came later
    return Watched(settings, moments)
