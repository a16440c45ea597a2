"""A table with both times that is used in place: the same values as loaded rows, and nothing copied."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import psycopg
import pytest

from asof.errors import ConfigurationError
from asof.extracts.schema import ExtractSchema
from asof.extracts.sources import InPlace
from asof.features.feature_store import feature_store
from asof.settings import Settings
from tests.kits.data.history import CHURN, History, moment
from tests.kits.data.parity import database_copy
from training.audit.lineage.loads import Loads
from training.data.snapshots.tables import prepare_tables
from training.features.datasets.point_in_time import joined_rows
from training.features.materialisation.materialise import materialise
from training.inspection import months_known

PAYMENTS = "payments_agg_90d"
MOVE = f"""
CREATE SCHEMA "Bi";
ALTER TABLE {PAYMENTS} SET SCHEMA "Bi";
ALTER TABLE "Bi".{PAYMENTS} RENAME as_of TO valid_from;
ALTER TABLE "Bi".{PAYMENTS} RENAME created_at TO recorded_at;
ALTER TABLE "Bi".{PAYMENTS} ALTER failed_payments_90d TYPE smallint;
ALTER TABLE "Bi".{PAYMENTS} ALTER recorded_at TYPE timestamp;
ALTER TABLE "Bi".{PAYMENTS} DISABLE TRIGGER ALL"""


def in_place(source: InPlace) -> ExtractSchema:
    tables = (replace(each, source=source) if each.name == PAYMENTS else each for each in CHURN.extract.tables)
    return replace(CHURN.extract, tables=tuple(tables))


BITEMPORAL = in_place(InPlace(f'"Bi".{PAYMENTS}', as_of="valid_from", known_at="recorded_at"))


@pytest.fixture(scope="module")
def used(history: History) -> Iterator[Settings]:
    """A copy of the history whose payments are a table of others, with names and types of their own."""
    with database_copy(history.settings) as settings:
        with psycopg.connect(settings.conninfo()) as connection:
            connection.execute(MOVE)
        prepare_tables(settings, BITEMPORAL)
        yield settings


@pytest.mark.parametrize("known_month", [1, 3])
def test_a_training_set_is_the_same_as_of_loaded_rows(history: History, used: Settings, known_month: int) -> None:
    as_of, known = (moment(history.plan.as_of(month)) for month in (0, known_month))
    options = {"known_at": known, "feature_service": "churn_v1"}
    loaded = joined_rows(history.settings, CHURN.extract, as_of, **options)
    assert joined_rows(used, BITEMPORAL, as_of, **options).rows.equals(loaded.rows)


def _payments_online(settings: Settings, as_of: datetime) -> list[int]:
    materialise(settings, as_of=as_of)
    with psycopg.connect(settings.conninfo()) as connection:
        users = [row[0] for row in connection.execute("SELECT DISTINCT user_id FROM users ORDER BY 1 LIMIT 50")]
    with feature_store(settings) as store:
        features = [f"{PAYMENTS}_fv:failed_payments_90d"]
        answer = store.get_online_features(features, [{"user_id": user} for user in users]).to_dict()
    values: list[int] = answer["failed_payments_90d"]
    return values


def test_the_online_store_has_the_same_values_and_later_those_that_others_have_written(
    history: History, used: Settings
) -> None:
    march = moment(history.plan.as_of(2))
    with database_copy(history.settings) as loaded:
        assert _payments_online(used, march) == _payments_online(loaded, march)
    with psycopg.connect(used.conninfo()) as connection:
        connection.execute(f'UPDATE "Bi".{PAYMENTS} SET failed_payments_90d = 77')
    assert set(_payments_online(used, march)) <= {77, None}


def test_the_data_checks_see_what_holds_at_each_moment(history: History, used: Settings) -> None:
    months = months_known(used, BITEMPORAL, moment(history.plan.as_of(2)))
    assert [each.present[PAYMENTS].all() for each in months] == [True, True]


def test_it_is_a_view_of_its_use_case_and_has_no_loads(used: Settings) -> None:
    query = f"SELECT obj_description(oid, 'pg_class') FROM pg_class WHERE relname = '{PAYMENTS}' AND relkind = 'v'"
    prepare_tables(used, BITEMPORAL)
    with psycopg.connect(used.conninfo()) as connection:
        assert connection.execute(query).fetchall() == [("AsOf use case: churn",)]
        assert Loads(connection).problem(PAYMENTS, None, "rows") == ""
        assert "No load brought rows" in Loads(connection).problem("users", None, "rows")


REFUSED = {
    InPlace("nowhere.payments"): "has no table nowhere.payments. Create it",
    InPlace(f'"Bi".{PAYMENTS}'): "column as_of is missing, not date or .*; column created_at is missing",
    InPlace(f'"Bi".{PAYMENTS}', as_of="user_id", known_at="recorded_at"): "column user_id is text, not date or",
}


@pytest.mark.parametrize("source", REFUSED, ids=str)
def test_a_table_that_does_not_fit_is_named_and_the_view_stays(used: Settings, source: InPlace) -> None:
    with pytest.raises(ConfigurationError, match=REFUSED[source]):
        prepare_tables(used, in_place(source))
    prepare_tables(used, BITEMPORAL)


def test_loaded_rows_are_not_hidden_by_a_view(history: History) -> None:
    with pytest.raises(ConfigurationError, match=f"public.{PAYMENTS} is a table: rename the raw table"):
        prepare_tables(history.settings, in_place(InPlace("public.users")))


def test_another_table_takes_the_place_of_the_first(used: Settings) -> None:
    with database_copy(used) as settings:
        with psycopg.connect(settings.conninfo()) as connection:
            connection.execute(f'CREATE TABLE "Bi".fewer AS SELECT * FROM "Bi".{PAYMENTS} LIMIT 5')
        prepare_tables(settings, in_place(InPlace('"Bi".fewer', as_of="valid_from", known_at="recorded_at")))
        with psycopg.connect(settings.conninfo()) as connection:
            assert connection.execute(f"SELECT count(*) FROM public.{PAYMENTS}").fetchone() == (5,)


@pytest.mark.parametrize("table", ["users", "labels"])
def test_entities_and_labels_are_loaded(table: str) -> None:
    every = {each.name: each for each in (*CHURN.extract.tables, CHURN.extract.labels)}
    elsewhere = replace(every[table], source=InPlace("bi.rows"))
    tables = tuple(elsewhere if each.name == table else each for each in CHURN.extract.tables)
    with pytest.raises(
        ConfigurationError, match=f"Raw table {table}: the tables of entities and labels must be loaded"
    ):
        replace(CHURN.extract, tables=tables, labels=elsewhere if table == "labels" else CHURN.extract.labels)
