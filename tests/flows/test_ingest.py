"""The stage `ingest` of a use case whose tables are queried on another server: loads, online store, training set."""

import io
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from typer.testing import CliRunner

from asof.errors import DataError, SourceError
from asof.extracts.cadence import Cadence, Every
from asof.extracts.schema import RawTable
from asof.extracts.sources import PostgresQuery
from asof.settings import Settings
from asof.use_case import FromStore
from asof.use_cases import load
from tests.kits.data.extracts import extract_files, fetch
from tests.kits.data.sources import run
from tests.kits.machine.databases import database
from training.data.extracts.deliveries import Delivery, Part
from training.data.snapshots.queries.loading import due_labels
from training.data.snapshots.snapshot import take_snapshot
from training.data.snapshots.tables import value_types

CHURN = load("churn")
JANUARY, FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
MARCH = datetime(2024, 3, 31, tzinfo=UTC)
USERS = 40


def _queried(table: RawTable) -> RawTable:
    columns = ", ".join(column.name for column in table.columns)
    query = f"SELECT {columns} FROM src.{table.name} WHERE month = :as_of AND recorded <= :known_at"
    return replace(table, source=PostgresQuery(query))


@pytest.fixture(scope="module")
def queried(shop: Settings, world: dict[str, str]) -> Iterator[Settings]:
    """Churn's tables in a schema of the other server, two months of them, and the use case with queries of these."""
    import asof.use_cases.churn

    extract = CHURN.extract
    every = (*extract.tables, extract.labels)
    with psycopg.connect(shop.source_conninfo("source")) as connection:
        connection.execute("CREATE SCHEMA src")
        for table in every:
            types = value_types(table)
            columns = sql.SQL(", ").join(sql.SQL(f'"{name}" {type_}') for name, type_ in types.items())
            name = sql.Identifier("src", table.name)
            times = sql.SQL("month timestamptz, recorded timestamptz")
            connection.execute(sql.SQL("CREATE TABLE {} ({}, {})").format(name, columns, times))
            for number, month in enumerate((JANUARY, FEBRUARY)):
                _fill(connection, table, extract_files(USERS, month=number), month)
    labels = _queried(extract.labels)
    source = FromStore(replace(extract, tables=tuple(map(_queried, extract.tables)), labels=labels))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in world.items():
            patch.setenv(name, value)
        url = shop.source_url.get_secret_value() if shop.source_url else ""
        patch.setenv("ASOF_SOURCE_URL", url)
        patch.setattr(asof.use_cases.churn, "USE_CASE", replace(CHURN, source=source))
        yield shop


def _fill(connection: psycopg.Connection, table: RawTable, files: Mapping[str, bytes], month: datetime) -> None:
    recorded = Every.MONTH.after(month) if table is CHURN.extract.labels else month
    rows = pd.read_csv(io.BytesIO(files[table.name]), dtype=str).assign(month=str(month), recorded=str(recorded))
    copy = sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(sql.Identifier("src", table.name))
    with connection.cursor() as cursor, cursor.copy(copy) as into:
        into.write(rows.to_csv(index=False, header=False))


@contextmanager
def database_of_its_own(settings: Settings) -> Iterator[Settings]:
    with database(settings, f"asof_test_{uuid.uuid4().hex[:12]}") as name:
        url = SecretStr(settings.database(name).render_as_string(hide_password=False))
        yield settings.model_copy(update={"postgres_url": url})


def test_a_backfill_of_a_range_fills_snapshots_online_store_and_training_set(queried: Settings) -> None:
    from flows.stages.ingest import ingest
    from training.features.datasets.dataset import build_training_set

    result = ingest(None, JANUARY, True, use_case="churn", until=FEBRUARY)

    parts = ["2024-01-31 (features)", "2024-01-31 (labels)", "2024-02-29 (features)", "2024-02-29 (labels)"]
    assert sorted(each["folder"] for each in result["deliveries"]) == parts
    assert {sum(each["new_rows"].values()) for each in result["deliveries"]} == {5 * USERS, USERS}
    assert result["parity"]["wrong"] == 0
    assert {each["entities"] for each in result["online"]["refreshes"]} == {USERS}
    assert fetch(queried, "SELECT DISTINCT as_of, created_at FROM users ORDER BY 1") == [
        (JANUARY,) * 2,
        (FEBRUARY,) * 2,
    ]
    built = build_training_set(queried, load("churn"), FEBRUARY, known_at=MARCH)
    assert len(built.frame) == USERS

    again = ingest(None, JANUARY, True, use_case="churn", until=FEBRUARY)
    assert {each["load_id"] for each in again["deliveries"]} == {None}


def test_labels_that_nobody_had_recorded_are_not_claimed(queried: Settings) -> None:
    from flows.stages.ingest import ingest

    run(queried, "UPDATE src.labels SET recorded = '2024-03-31T00:00Z'")
    with pytest.raises(SourceError, match=r"labels: the query gives no rows as of 2024-01-31.*known at 2024-02-29"):
        ingest(None, JANUARY, True, use_case="churn")


def test_labels_of_earlier_moments_are_read_once_they_are_due(queried: Settings) -> None:
    """As of live tables: their rows are of the moment of the ingest, and their labels come later."""
    live = load("churn").extract
    with database_of_its_own(queried) as settings:
        run(queried, "UPDATE src.labels SET recorded = month + interval '1 month'")
        for moment in (JANUARY, FEBRUARY):
            take_snapshot(settings, live, None, as_of=moment, known_at=moment, part=Part.FEATURES)
        due = [Delivery(None, moment, None, Part.LABELS) for moment in (JANUARY, FEBRUARY)]
        assert due_labels(settings, live) == due
        take_snapshot(settings, live, None, as_of=JANUARY, part=Part.LABELS)
        assert due_labels(settings, live) == due[1:]
        slow = replace(live, cadence=Cadence(horizon=datetime.now(UTC) - JANUARY))
        assert due_labels(settings, slow) == []
        assert due_labels(settings, CHURN.extract) == []


def test_a_range_of_moments_is_given_on_the_command_line(queried: Settings) -> None:
    from flows.__main__ import app

    done = CliRunner().invoke(
        app, ["ingest", "churn", "--from", "2024-02-28", "--to", "2024-02-29", "--every", "day", "--json"]
    )
    assert "gives no rows as of 2024-02-28" in " ".join(done.output.split())
    done = CliRunner().invoke(app, ["ingest", "churn", "--as-of", "2024-02-29T00:00Z", "--json"])
    assert done.exit_code == 0, done.output
    (delivery,) = json.loads(done.stdout.splitlines()[-1])["deliveries"]
    assert (delivery["folder"], delivery["rows"]["users"]) == ("2024-02-29", USERS)


def test_a_use_case_of_files_needs_a_folder_and_one_of_queries_a_moment(queried: Settings) -> None:
    from flows.stages.ingest import ingest

    with pytest.raises(SourceError, match="gives no rows"):
        ingest("data/extracts", use_case="churn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asof.use_cases.churn.USE_CASE", CHURN)
        with pytest.raises(DataError, match=r"churn takes files \(users.csv, .*not a range of moments"):
            ingest("data/extracts", JANUARY, use_case="churn", until=FEBRUARY)
