"""A simulated history with late rows and corrections, in PostgreSQL and in Feast."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asof.settings import Settings, export
from asof.use_cases import load
from simulator import SimulationPlan, simulate
from tests.kits.machine.databases import copy_features, fresh
from training.data.extracts.deliveries import Delivery, find_deliveries

if TYPE_CHECKING:
    from tests.kits.models.scoring import Scene

CHURN = load("churn")


@dataclass(frozen=True)
class History:
    """Simulated deliveries in a folder, all of them loaded in the order in which they arrived."""

    settings: Settings
    folder: Path
    plan: SimulationPlan

    @property
    def deliveries(self) -> list[Delivery]:
        """In the order in which they arrived; a month delivered again comes three days after its labels."""
        found = find_deliveries(self.folder, first=self.plan.as_of(0), backfill=True)
        return sorted((_arrived(each) for each in found), key=lambda each: each.known_at)


def moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _arrived(delivery: Delivery) -> Delivery:
    late = timedelta(days=3 if "_r" in delivery.folder.name else 0)
    return replace(delivery, known_at=delivery.known_at + late)


@pytest.fixture(scope="session")
def loaded(
    server: Settings, mlflow_tables: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], History]]:
    """Gives the history that is made once for each type of online store; to be copied."""
    with ExitStack() as databases:

        @cache
        def load_once(online_store: str) -> History:
            home = tmp_path_factory.mktemp("loaded-once")
            of_store = server.model_copy(update={"online_store": online_store})
            return _load(databases.enter_context(fresh(of_store, home, mlflow_tables)), home / "extracts")

        yield load_once


def _load(settings: Settings, folder: Path) -> History:
    """Four months of 400 users; a tenth of the rows late, a tenth corrected."""
    from training.data.snapshots.snapshot import take_snapshot
    from training.features.materialisation.feature_registry import apply_features

    export(settings)
    plan = SimulationPlan(date(2024, 4, 30), users=400, months=4, late_share=0.1, correction_share=0.1)
    simulate(plan, folder)
    history = History(settings, folder, plan)
    for each in history.deliveries:
        take_snapshot(settings, CHURN.extract, each.folder, as_of=each.as_of, known_at=each.known_at)
    apply_features(settings)
    return history


@pytest.fixture(scope="module")
def history(settings: Settings, loaded: Callable[[str], History]) -> History:
    """Four months of 400 users in the module's own database; the folder is everybody's, and not to be changed."""
    origin = loaded(settings.online_store)
    copy_features(origin.settings, settings)
    export(settings)
    return replace(origin, settings=settings)


@pytest.fixture(scope="module")
def scene(history: History, tmp_path_factory: pytest.TempPathFactory) -> "Scene":
    """Users of every kind to be scored; not to be changed."""
    from tests.kits.models.scoring import make_scene

    return make_scene(history.settings, history.plan, tmp_path_factory.mktemp("may"))


@pytest.fixture
def copy_of_scene(scene: "Scene") -> "Iterator[Scene]":
    """The same in a database that a test has for itself."""
    from tests.kits.data.parity import database_copy

    with database_copy(scene.settings) as settings:
        yield replace(scene, settings=settings)
