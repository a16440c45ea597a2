"""Bulk reads at a real streaming replica: the same rows, never older ones, and to the end when it is lost."""

import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.settings import Settings
from tests.kits.data.history import CHURN, History, moment
from tests.kits.machine.replica import Replica
from tests.kits.models import scoring as kit
from tests.kits.models.scoring import Scene
from training.data.snapshots.reading import replicas
from training.data.snapshots.reading.known_at import KnownTables, tables_known_at
from training.features.datasets import point_in_time
from training.features.datasets.point_in_time import joined_rows
from training.features.materialisation.materialise import materialise
from training.features.parity import check
from training.features.parity.check import check_parity
from training.scoring import work

MOMENTS = {"as_of": kit.AS_OF, "known_at": kit.AS_OF}


@pytest.fixture(autouse=True)
def _messages(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO, "asof.progress")
    monkeypatch.setattr(replicas, "_left_until", {})


def is_replica(tables: KnownTables) -> bool:
    return tables.connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


def rows_of(settings: Settings, history: History) -> Any:
    as_of = moment(history.plan.as_of(2))
    found = joined_rows(settings, CHURN.extract, as_of, known_at=kit.AS_OF, feature_service="churn_v2")
    return found.rows


def test_a_bulk_read_has_every_load_that_was_committed_before_it(
    history: History, replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    reading = replica.read_by(history.settings)
    with tables_known_at(reading, CHURN.extract, **MOMENTS, bulk=True) as tables:
        assert is_replica(tables)
        ((before,),) = tables.connection.execute("SELECT count(*) FROM users")
    with tables_known_at(reading, CHURN.extract, **MOMENTS) as tables:
        assert not is_replica(tables)
        assert tables.connection.execute("SELECT count(*) FROM users").fetchone() == (before,)
    assert caplog.messages == [f"Reading replica 127.0.0.1:{replica.port}/{history.settings.database().database}"]


def test_a_replica_that_is_behind_is_not_read(
    history: History, replica: Replica, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "REPLAY_SECONDS", 0.2)
    reading = replica.read_by(history.settings)
    with replica.paused(history.settings), tables_known_at(reading, CHURN.extract, **MOMENTS, bulk=True) as tables:
        assert not is_replica(tables)
    assert "is not read: it is more than 0.2 s behind" in caplog.text
    with tables_known_at(reading, CHURN.extract, **MOMENTS, bulk=True) as tables:
        assert not is_replica(tables), "the next range does not wait for it again"


def test_training_set_and_parity_are_those_of_the_primary(
    history: History, replica: Replica, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, open_side = list[int | None](), check.open_online_side

    def recorded(settings: Settings, contracts: Any) -> Any:
        opened.append(settings.database().port)
        return open_side(settings, contracts)

    monkeypatch.setattr(check, "open_online_side", recorded)
    materialise(history.settings, as_of=moment(history.plan.as_of(3)))
    reading = replica.read_by(history.settings)
    assert rows_of(reading, history).equals(rows_of(history.settings, history))
    asked: Any = {"as_of": kit.AS_OF, "known_at": kit.AS_OF}
    assert check_parity(reading, CHURN, **asked) == check_parity(history.settings, CHURN, **asked)
    assert opened == [replica.port, history.settings.database().port]
    assert {each.partition(" 127")[0] for each in caplog.messages} == {"Reading replica"}


def test_a_training_set_is_read_at_the_primary_where_the_replica_dies(
    history: History, replica: Replica, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, expected = replica.read_by(history.settings), rows_of(history.settings, history)
    planned = point_in_time.planned_query

    def killed(tables: KnownTables, queries: Any) -> Any:
        if is_replica(tables):
            replica.kill()
        return planned(tables, queries)

    monkeypatch.setattr(point_in_time, "planned_query", killed)
    assert rows_of(reading, history).equals(expected)
    assert "The replica failed, reading the primary" in caplog.text


def test_a_range_is_scored_again_at_the_primary_where_its_replica_dies(
    copy_of_scene: Scene, replica: Replica, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = work.read_chunks

    def dying(tables: KnownTables, *args: Any, **given: Any) -> Iterator[Any]:
        for chunk in read(tables, *args, **given):
            yield chunk
            if is_lost.pop("waits", None):
                replica.kill()
                raise psycopg.OperationalError("server closed the connection unexpectedly")

    is_lost = {"waits": True}
    monkeypatch.setattr(work, "read_chunks", dying)
    users = copy_of_scene.everybody()
    scene = Scene(replica.read_by(copy_of_scene.settings), copy_of_scene.users, copy_of_scene.versions)
    assert scene.score().new == len(users)
    assert not is_lost, "the replica was read first"
    assert [row["entity"] for row in kit.kept(scene.settings)] == users
    assert "The replica failed, reading the primary" in caplog.text


def test_the_primary_is_no_replica(history: History) -> None:
    url = history.settings.database().render_as_string(hide_password=False)
    wrong = history.settings.model_copy(update={"postgres_read_urls": SecretStr(url)})
    with (
        pytest.raises(ConfigurationError, match="of ASOF_POSTGRES_READ_URLS is not a replica: it accepts writes"),
        tables_known_at(wrong, CHURN.extract, **MOMENTS, bulk=True),
    ):
        pass
    with psycopg.connect(history.settings.conninfo()) as connection:
        left = connection.execute("SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, 'known_at_')")
        assert left.fetchone() == (0,)
