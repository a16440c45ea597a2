"""For tests of the doctor: a healthy installation, and its findings."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from asof.settings import PROJECT, Settings, export
from asof.use_cases import load
from doctor.context import Context
from doctor.examination import examine
from doctor.finding import Finding, Severity
from simulator import SimulationPlan, simulate
from tests.kits.models.promotion import always
from tests.kits.service import serving as kit
from training.data.extracts.deliveries import Delivery, find_deliveries
from training.data.snapshots.snapshot import take_snapshot
from training.data.snapshots.tables import prepare_tables
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise
from training.features.parity.check import check_parity
from training.features.parity.ledger import record_parity
from training.release.promotion.promote import promote
from training.release.registry.versions import ModelVersion

CHURN = load("churn")
PLAN = SimulationPlan(date(2026, 10, 31), users=200, months=3)
NOW = datetime(2026, 11, 5, tzinfo=UTC)
OF_THE_MACHINE = ("docker", "compose", "snap", "variable:", "proxy")
"""Findings about the machine that runs the tests."""


@dataclass(frozen=True)
class World:
    """Two months loaded and online, a third still in its folder; a version in Production."""

    context: Context
    left: Delivery
    version: ModelVersion

    @property
    def settings(self) -> Settings:
        return self.context.settings

    def findings(self, **changed: Any) -> dict[str, Finding]:
        """Errors and warnings by name, without those of the machine."""
        found = examine(replace(self.context, **changed))
        return {
            each.name: each
            for each in found
            if each.severity is not Severity.NOTE and not each.name.startswith(OF_THE_MACHINE)
        }

    def finding(self, name: str, **changed: Any) -> Finding:
        """The one finding that there is."""
        found = self.findings(**changed)
        assert list(found) == [name], found
        return found[name]


def load_month(settings: Settings, delivery: Delivery) -> None:
    """One delivery into the snapshots, and not online."""
    take_snapshot(settings, CHURN.extract, delivery.folder, as_of=delivery.as_of, known_at=delivery.known_at)


def healthy_world(settings: Settings, folder: Path, bentos: Path) -> World:
    """All that an ingest and a promotion leave behind."""
    settings = settings.model_copy(update={"clock": NOW})
    export(settings)
    simulate(PLAN, folder)
    deliveries = [each for each in find_deliveries(folder, first=PLAN.as_of(0), backfill=True) if each.known_at]
    months = sorted(deliveries, key=lambda each: each.known_at or NOW)
    prepare_tables(settings, CHURN.extract)
    for each in months[:-1]:
        load_month(settings, each)
    apply_features(settings)
    materialise(settings)
    record_parity(settings, check_parity(settings, CHURN))
    version, _ = kit.register_small_model(settings, kit.registered_contract(settings))
    promote(settings, version, judge=always)
    context = Context(settings, {}, PROJECT, bentos, use_cases=(CHURN,))
    return World(context, months[-1], version)
