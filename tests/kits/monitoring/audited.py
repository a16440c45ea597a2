"""Answers of the service about the users of a simulated history, to be audited; and what is done to them."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from asof.features.feature_contract import FeatureContract
from asof.settings import Settings
from asof.use_case import Estimator, UseCase
from monitoring.audit.audit import Audit, audit
from monitoring.audit.findings import Divergence, Finding
from monitoring.audit.reading.rows import Tolerance
from monitoring.audit.reading.sample import Span
from tests.kits.data.extracts import fetch
from tests.kits.data.history import CHURN, History
from tests.kits.data.parity import Edit, database_copy, deliver
from tests.kits.models.training import regression
from tests.kits.service.application import application
from tests.kits.service.ledger import ship
from training.features.datasets.dataset import build_training_set
from training.features.materialisation.materialise import materialise
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion

CLOCK = datetime(2024, 5, 10, tzinfo=UTC)
"""Of the services: ten days after the newest snapshot."""
APRIL, MAY = datetime(2024, 4, 30, tzinfo=UTC), datetime(2024, 5, 31, tzinfo=UTC)
JANUARY, MARCH_10 = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 3, 10, tzinfo=UTC)


def lenient(contract: FeatureContract, random_state: int) -> Any:
    """One that answers whatever the categories are."""
    model = regression(contract, random_state)
    return model.set_params(columns__categories__handle_unknown="ignore")


QUICK = replace(
    CHURN, model_name="audited", estimators={"default": Estimator("churn_v2", lenient, "a logistic regression")}
)
USERS = 25


@dataclass(frozen=True)
class Audited:
    """A use case with a version, in a database of its own."""

    settings: Settings
    use_case: UseCase
    version: ModelVersion
    users: Sequence[str] = ()

    def ask(self, *users: str, **more: Any) -> None:
        """Each user's answer goes to the ledger: singly, and all of them in a batch."""
        self.send([{"user_id": user, **more} for user in users or self.users])

    def send(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        kept = self.settings.model_copy(update={"ledger": "process"})

        async def main() -> None:
            async with application(kept, self.use_case, self.version) as client:
                for body in bodies:
                    response = await client.post("/predict", json=body)
                    assert response.headers["AsOf-Kept"] == "process"
                await client.post("/predict/batch", json={"instances": list(bodies)})

        asyncio.run(main())
        ship(self.settings, self.settings.ledger_folder)

    def audit(self, *, share: float = 1.0, lag: float = 60.0, **span: Any) -> Audit:
        """Of all answers up to now; rows may be missing online for `lag` minutes, and all clocks are this machine's."""
        now = datetime.now(UTC)
        chosen = Span(**{"since": now - timedelta(days=1), "until": now, "share": share} | span)
        return audit(self.settings, self.use_case, chosen, tolerance=Tolerance(timedelta(minutes=lag), timedelta(0)))

    def deliver(self, source: Path, folder: Path, as_of: datetime, **edits: Edit) -> None:
        """A month once more, with tables edited, as known from now on."""
        deliver(self.settings, source, folder, as_of, **edits)

    def execute(self, statement: str, *parameters: Any) -> int:
        with psycopg.connect(self.settings.conninfo(), autocommit=True) as connection:
            return connection.execute(statement.encode(), parameters or None).rowcount

    def online_table(self, feature: str) -> str:
        """The online store's table with a feature."""
        query = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'online' AND column_name = %s"
        with psycopg.connect(self.settings.conninfo()) as connection:
            ((name,),) = connection.execute(query, [feature]).fetchall()
        return f'online."{name}"'


def found(done: Audit) -> dict[str, int]:
    """The findings that there are, with their values."""
    return {each.finding.value: each.values for each in done.shares if each.values and each.finding is not Finding.SAME}


def first(done: Audit, finding: Finding) -> Divergence:
    (own,) = (each for each in done.first if each.finding is finding)
    return own


@pytest.fixture(scope="module")
def served_month(history: History) -> Audited:
    """A month that was served, in which nothing went wrong; not to be changed."""
    settings = history.settings.model_copy(update={"clock": CLOCK})
    training_set = build_training_set(settings, QUICK, JANUARY, known_at=MARCH_10)
    version = register(settings, evaluate(settings, train(settings, QUICK, training_set)))
    materialise(settings)
    users = fetch(settings, f"SELECT DISTINCT user_id FROM users WHERE as_of = '{APRIL}' ORDER BY 1 LIMIT {USERS}")
    audited = Audited(settings, QUICK, version, [user for (user,) in users])
    audited.ask()
    return audited


@pytest.fixture
def copied(served_month: Audited) -> Iterator[Audited]:
    with database_copy(served_month.settings) as settings:
        yield replace(served_month, settings=settings)
