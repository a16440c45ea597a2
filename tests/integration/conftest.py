"""A simulated history with late rows and corrections, in PostgreSQL and in Feast."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from asof.settings import Settings, export
from asof.use_cases import load
from simulator import Delivery, SimulationPlan, simulate

CHURN = load("churn")


@dataclass(frozen=True)
class History:
    """Simulated deliveries in a folder, all of them loaded in the order in which they arrived."""

    settings: Settings
    folder: Path
    plan: SimulationPlan

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        return self.plan.deliveries()


def moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def known_at(delivery: Delivery) -> datetime:
    """When a delivery counts as known: a month delivered again comes three days after its labels."""
    return moment(delivery.known_on) + timedelta(days=3 if "_r" in delivery.name else 0)


@pytest.fixture(scope="module")
def history(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> History:
    """Four months of 400 users; a tenth of the rows late, a tenth corrected."""
    from training.materialise import apply_features
    from training.snapshot import take_snapshot

    export(settings)
    plan = SimulationPlan(date(2024, 4, 30), users=400, months=4, late_share=0.1, correction_share=0.1)
    folder = tmp_path_factory.mktemp("simulated") / "extracts"
    simulate(plan, folder)
    for each in sorted(plan.deliveries(), key=known_at):
        take_snapshot(settings, CHURN.extract, folder / each.name, as_of=moment(each.as_of), known_at=known_at(each))
    apply_features(settings)
    return History(settings, folder, plan)
