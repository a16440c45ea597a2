"""Random histories against an oracle of a few lines: nothing known later, and nothing of a later moment, is ever seen.

Each value holds its own two times, so that a leak is seen in the value itself, not only in a difference.
"""

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql

from asof.settings import Settings, export
from asof.use_cases import load
from tests.kits.data.extracts import TABLES, add_months
from training.data.snapshots.tables import prepare_tables
from training.features.datasets.dataset import build_training_set
from training.features.datasets.training_set import TrainingSet
from training.features.materialisation.feature_registry import apply_features

CHURN = load("churn")
LABELLED = datetime(2024, 3, 31, tzinfo=UTC)
MOMENT, DAY = timedelta(microseconds=1), timedelta(days=1)

AS_OF = [LABELLED + each for each in (-401 * DAY, -400 * DAY, -45 * DAY - MOMENT, -45 * DAY, -30 * DAY, -MOMENT)]
AS_OF += [LABELLED, LABELLED + MOMENT, LABELLED + 30 * DAY]
KNOWN = [LABELLED, LABELLED + DAY, LABELLED + 40 * DAY]
CREATED = sorted({known + each for known in KNOWN for each in (-MOMENT, timedelta(0), MOMENT)} | {*AS_OF})
TTL = {"users": 400 * DAY}

Version = tuple[datetime, datetime]
Rows = dict[tuple[str, datetime, datetime], dict[str, Any]]
"""The values of each (user, as_of, created_at)."""

versions = st.lists(
    st.tuples(st.sampled_from(AS_OF), st.sampled_from(CREATED)).filter(lambda times: times[0] <= times[1]),
    max_size=8,
    unique=True,
)
users = st.lists(
    st.fixed_dictionaries({table.name: versions for table in (*CHURN.extract.tables, CHURN.extract.labels)}),
    min_size=1,
    max_size=25,
)
numbers = itertools.count()


def value_of(kind: str, version: Version, luck: int) -> Any:
    """A value that identifies its version, except for the kinds that cannot; sometimes a null."""
    if luck % 7 == 0:
        return None
    place = 100 * AS_OF.index(version[0]) + CREATED.index(version[1])
    texts = {"text": f"{place}", "boolean": luck % 2 == 0, "date": version[0].date()}
    return texts.get(kind, place)


def written(drawn: list[dict[str, list[Version]]]) -> dict[str, Rows]:
    """Rows of every table, for users of this example's own."""
    example, luck = next(numbers), itertools.count(1)
    history: dict[str, Rows] = {}
    for table in (*CHURN.extract.tables, CHURN.extract.labels):
        rows = history.setdefault(table.name, {})
        for number, user in enumerate(drawn):
            for version in user[table.name]:
                values = {each.name: value_of(each.kind, version, next(luck)) for each in table.columns[1:]}
                rows[f"{example:04}-{number:02}", *version] = values
    for values in history["labels"].values():
        values["churn_label"] = values["churn_label"] is True  # a label is never null
    return history


def insert(settings: Settings, history: Mapping[str, Rows]) -> None:
    with psycopg.connect(settings.conninfo()) as connection, connection.cursor() as cursor:
        for table in (*CHURN.extract.tables, CHURN.extract.labels):
            columns = ("user_id", "as_of", "created_at", *(each.name for each in table.columns[1:]))
            query = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table.name),
                sql.SQL(", ").join(map(sql.Identifier, columns)),
                sql.SQL(", ").join(sql.Placeholder() * len(columns)),
            )
            cursor.executemany(query, [(*key, *values.values()) for key, values in history[table.name].items()])


def seen(rows: Rows, user: str, known: datetime, ttl: timedelta) -> dict[str, Any] | None:
    """The values of the newest version that was known, of the newest moment that is not too old; or None."""
    known_rows = {key[1:]: values for key, values in rows.items() if key[0] == user and key[2] <= known}
    timely = [key for key in known_rows if LABELLED - ttl <= key[0] <= LABELLED]
    return known_rows[max(timely)] if timely else None


def oracle(history: Mapping[str, Rows], known: datetime, names: list[str]) -> dict[str, tuple[dict[str, Any], bool]]:
    """Features by name, and the label, of each user that had a label of that moment by then."""
    expected = {}
    for user in {key[0] for key in history["labels"]}:
        labels = {k[2]: v for k, v in history["labels"].items() if k[:2] == (user, LABELLED) and k[2] <= known}
        if not labels:
            continue
        values: dict[str, Any] = {}
        for table in CHURN.extract.tables:
            values |= seen(history[table.name], user, known, TTL.get(table.name, 45 * DAY)) or {}
        for plan in ("plan_stream_tv", "plan_stream_movies"):
            values[plan] = {True: "yes", False: "no"}.get(values.get(plan))
        label: bool = labels[max(labels)]["churn_label"]
        expected[user] = ({name: values.get(name) for name in names}, label)
    return expected


def plain(built: TrainingSet, users: set[str]) -> dict[str, tuple[dict[str, Any], bool]]:
    """What the training set holds of some users, as `oracle` gives it."""
    frame = built.frame[built.frame["user_id"].isin(users)].astype(object)
    rows = frame.where(frame.notna(), None).to_dict("records")
    return {row["user_id"]: ({name: row[name] for name in built.contract.names}, row["churn_label"]) for row in rows}


def versions_in(values: Mapping[str, Any], known: datetime) -> Iterator[Version]:
    """The versions that the values identify, each checked."""
    for name in ("months_active", "failed_payments_90d", "watch_hours_30d", "contract_type"):
        if (place := values.get(name)) is not None:
            as_of, created_at = AS_OF[int(place) // 100], CREATED[int(place) % 100]
            assert as_of <= LABELLED, f"{name} describes a later moment"
            assert created_at <= known, f"{name} was not known yet"
            yield as_of, created_at


@pytest.fixture(scope="module")
def tables(settings: Settings) -> Settings:
    """The tables and features, and two users with a label of each class, so that there is always a training set."""
    export(settings)
    prepare_tables(settings, CHURN.extract)
    apply_features(settings)
    with psycopg.connect(settings.conninfo()) as connection:
        add_months(connection, TABLES, LABELLED - timedelta(days=1000), LABELLED + timedelta(days=300))
        for user, label in (("anchor-0", False), ("anchor-1", True)):
            connection.execute("INSERT INTO users VALUES (%s, %s, %s)", (user, LABELLED, LABELLED))
            connection.execute("INSERT INTO labels VALUES (%s, %s, %s, %s)", (user, LABELLED, LABELLED, label))
    return settings


def test_no_row_known_later_or_of_a_later_moment_reaches_a_training_set(tables: Settings) -> None:
    reached: set[Version] = set()
    kept_out = 0

    @hypothesis_settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # to shrink a failure would take minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(users, st.sampled_from(KNOWN), st.sampled_from(["churn_v1", "churn_v2"]))
    def check(drawn: list[dict[str, list[Version]]], known: datetime, service: str) -> None:
        nonlocal kept_out
        history = written(drawn)
        insert(tables, history)
        built = build_training_set(tables, CHURN, LABELLED, known_at=known, feature_service=service)
        own = {key[0] for rows in history.values() for key in rows}
        found = plain(built, own)
        for values, _ in found.values():
            reached.update(versions_in(values, known))
        assert found == oracle(history, known, built.contract.names)
        kept_out += sum(key[1] > LABELLED or key[2] > known for rows in history.values() for key in rows)

    check()
    assert kept_out > 1000, "else there was nothing to keep out"
    assert {as_of for as_of, _ in reached} == {each for each in AS_OF if LABELLED - 45 * DAY <= each <= LABELLED}
    assert {created for _, created in reached} >= set(KNOWN), "what is learned at the very moment counts as known"
