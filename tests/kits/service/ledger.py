"""A model's record with features of every kind, answers to encode, and a spool that the test's process ships."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from asof.features.feature_contract import Feature
from asof.ledger.answers import Answer, ReadValues
from asof.ledger.model_record import ModelRecord
from asof.ledger.schema import require_tables
from asof.ledger.spool.encoder import Encoder
from asof.ledger.spool.shipper import Shipper, State
from asof.ledger.spool.writer import Spool
from asof.model_facts import Lineage
from asof.settings import Settings

FEATURES = (
    Feature("fee", "money_fv", "Float64"),
    Feature("months", "money_fv", "Int64"),
    Feature("plan", "plan_fv", "String"),
    Feature("senior", "plan_fv", "Bool"),
    Feature("discount", "", "Float64"),
)
JANUARY, FEBRUARY = datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 28, tzinfo=UTC)
VALUES = {"fee": 70.1, "months": 2**60 + 1, "plan": "one, 年", "senior": True, "discount": 0.1}
BY_VIEW = {"as_of": {"money_fv": FEBRUARY, "plan_fv": FEBRUARY}}


def encoder(version: str = "1", features: Sequence[Feature] = FEATURES, **changes: Any) -> Encoder:
    """Of a model with that version."""
    lineage = Lineage("a_model", version, f"run-{version}", "bento:1")
    record = {"fingerprint": "f", "feature_service": "s", "threshold": 0.5, "classes": ("no", "yes")} | changes
    return Encoder(ModelRecord("churn", lineage, features=tuple(features), **record))


def one(encoder: Encoder, request_id: str, entity: str = "u1", score: float = 0.25) -> bytes:
    """The frame of a good answer."""
    answer = Answer(entity, prediction=score, decision=int(score >= 0.5))
    return encoder.one(request_id, None, answer, ReadValues(VALUES, BY_VIEW))


def keep(settings: Settings, encoder: Encoder, request_id: str, answer: Answer, read: ReadValues | None) -> None:
    """Puts an answer of now into the ledger, as the service does."""
    spool = Spool(settings.ledger_folder, 2**24)
    assert spool.append(encoder, encoder.one(request_id, None, answer, read))
    spool.close()
    ship(settings, settings.ledger_folder)


def ship(settings: Settings, folder: Path, state: State | None = None) -> State:
    """Ships what is in the folder now."""
    state = state or State()
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        require_tables(connection)
        Shipper(folder, connection, state).ship()
    return state


def rows(settings: Settings, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def shipped(settings: Settings, query: str, count: int = 1, **parameters: Any) -> list[tuple[Any, ...]]:
    """The rows, once there are so many."""
    until = time.monotonic() + 60
    found: list[tuple[Any, ...]] = []
    while len(found) < count and time.monotonic() < until:
        try:
            with psycopg.connect(settings.ledger_conninfo()) as connection:
                found = connection.execute(query.encode(), parameters).fetchall()
        except psycopg.errors.UndefinedTable:
            pass
        time.sleep(0.05)
    assert len(found) >= count
    return found
