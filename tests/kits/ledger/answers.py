"""A ledger of a test's own, with answers that are added by SQL."""

import itertools
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from asof.ledger.schema import create_tables
from asof.settings import Settings
from tests.kits.machine.databases import fresh

INSERT_MODEL = """
INSERT INTO ledger.models (id, use_case, name, version, run_id, bento, fingerprint, features, views, threshold)
VALUES (%s, %s, %s, %s, %s, %s, 'f', %s, '{}', 0.5) ON CONFLICT DO NOTHING"""
INSERT_ANSWER = """
INSERT INTO ledger.predictions (at, request, model, target_as_of, score, item, status, decision, entity, caller_id,
    code, verdicts, floats)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""
_numbers = itertools.count()


@dataclass(frozen=True)
class MadeAnswer:
    """One row of `ledger.predictions` and its model, whose features are numbers with these values."""

    at: datetime
    entity: str | None
    as_of: datetime | None
    use_case: str = "churn"
    version: str = "1"
    bento: str = "b1"
    score: float = 0.5
    status: int = 200
    request: UUID | None = None
    item: int | None = None
    caller_id: str | None = None
    code: str | None = None
    verdicts: str | None = None
    values: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def features(self) -> list[dict[str, Any]]:
        """As `ledger.models` has them."""
        return [
            {"name": name, "type": "Float64", "view": "seen", "kind": "floats", "place": place}
            for place, name in enumerate(self.values, 1)
        ]


@contextmanager
def ledger(server: Settings, home: Path) -> Iterator[Settings]:
    """Settings with a fresh database that has the ledger's tables, and a partition for each month of 2024."""
    with fresh(server, home) as settings:
        with psycopg.connect(settings.ledger_conninfo()) as connection:
            create_tables(connection)
            connection.execute("SELECT ledger.make_partitions('2024-01-01', '2024-12-31')")
        yield settings


@pytest.fixture(scope="module")
def own_ledger(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A ledger for the tests of a module."""
    with ledger(server, tmp_path_factory.mktemp("ledger")) as settings:
        yield settings


def empty(settings: Settings) -> None:
    """Leaves no row in the ledger."""
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        connection.execute("SET lock_timeout = '30s'")  # a transaction that a test left open fails the next one
        connection.execute("SET session_replication_role = replica")  # without the triggers that refuse it
        connection.execute("TRUNCATE ledger.models, ledger.predictions, ledger.outcomes, ledger.complete_outcomes")


def only(settings: Settings, *answers: MadeAnswer) -> None:
    """Leaves these answers in the ledger and no other row."""
    empty(settings)
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        add_answers(connection, *answers)


def request_of(at: datetime) -> UUID:
    """A new request id of version 7."""
    random = next(_numbers).to_bytes(4, "big") + os.urandom(6)
    number = (int(at.timestamp() * 1000) << 80) | int.from_bytes(random, "big")
    return UUID(int=number & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


def add_answers(connection: psycopg.Connection, *answers: MadeAnswer) -> list[UUID]:
    """Adds rows; returns the id of each request."""
    requests = [each.request or request_of(each.at) for each in answers]
    for each, request in zip(answers, requests, strict=True):
        model = zlib.crc32(f"{each.use_case} {each.version} {each.bento} {[*each.values]}".encode())
        run = f"run-{each.version}"
        names = (model, each.use_case, f"model_{each.use_case}", each.version, run, each.bento, Jsonb(each.features))
        connection.execute(INSERT_MODEL, names)
        decision = None if each.status != 200 else int(each.score >= 0.5)
        row = (each.at, request, model, each.as_of, each.score, each.item, each.status, decision, each.entity)
        read = (each.caller_id, each.code, each.verdicts, [*each.values.values()] or None)
        connection.execute(INSERT_ANSWER, (*row, *read))
    return requests
