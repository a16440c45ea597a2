"""The online store against the snapshots: the newest row as of a moment, late rows and corrections included."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import psycopg
import pytest
from feast import FeatureStore

from asof.features.feature_store import feature_store
from online_store.relaying import same_server
from tests.kits.data.extracts import add_months
from tests.kits.data.history import CHURN, History, moment
from tests.kits.data.parity import database_copy
from tests.kits.service.serving import USER, write_users
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import Materialisation, materialise


def online(history: History, users: list[str]) -> pd.DataFrame:
    with feature_store(history.settings) as store:
        service = store.get_feature_service("churn_v1")
        answer = store.get_online_features(service, [{"user_id": user} for user in users]).to_df()
    return answer.set_index("user_id").sort_index()


def offline(history: History, as_of: datetime) -> pd.DataFrame:
    """The newest version of each user's newest usage row, straight from the table."""
    with psycopg.connect(history.settings.conninfo()) as connection:
        rows = connection.execute(
            "SELECT DISTINCT ON (user_id) user_id, watch_hours_30d FROM usage_agg_30d WHERE as_of <= %s"
            " ORDER BY user_id, as_of DESC, created_at DESC",
            (as_of,),
        ).fetchall()
    return pd.DataFrame(rows, columns=["user_id", "watch_hours_30d"]).set_index("user_id").sort_index()


def agrees(history: History, as_of: datetime) -> None:
    expected = offline(history, as_of)
    found = online(history, list(expected.index))
    pd.testing.assert_series_equal(found["watch_hours_30d"], expected["watch_hours_30d"])


def refreshed(done: Materialisation) -> dict[str, datetime | None]:
    return {refresh.view: refresh.since for refresh in done.refreshes}


@pytest.fixture(scope="module")
def as_of_march(history: History) -> Materialisation:
    return materialise(history.settings, as_of=moment(history.plan.as_of(2)))


def test_the_first_time_every_view_is_read_whole(history: History, as_of_march: Materialisation) -> None:
    assert set(refreshed(as_of_march).values()) == {moment(history.plan.as_of(0))}
    agrees(history, moment(history.plan.as_of(2)))


def test_nothing_new_is_not_read_again(history: History, as_of_march: Materialisation) -> None:
    apply_features(history.settings)
    again = materialise(history.settings, as_of=moment(history.plan.as_of(2)))
    assert set(refreshed(again).values()) == {None}


def test_a_later_moment_reads_only_the_months_that_are_new(history: History, as_of_march: Materialisation) -> None:
    april = moment(history.plan.as_of(3))
    done = materialise(history.settings, as_of=april)
    assert refreshed(done)["usage_agg_30d_fv"] == april
    agrees(history, april)


def test_a_correction_of_an_old_month_is_read_from_that_month_on(history: History) -> None:
    """The corrected user's newest row, not the corrected one, stays online."""
    from training.data.snapshots.snapshot import take_snapshot

    april = moment(history.plan.as_of(3))
    materialise(history.settings, as_of=april)
    source = history.folder / "month_001"
    corrected = history.folder.parent / "corrected"
    corrected.mkdir()
    for path in source.glob("*.csv"):
        (corrected / path.name).write_bytes(path.read_bytes())
    payments = pd.read_csv(corrected / "payments_agg_90d.csv")
    payments["failed_payments_90d"] += 5
    payments.to_csv(corrected / "payments_agg_90d.csv", index=False)
    take_snapshot(history.settings, CHURN.extract, corrected, as_of=moment(history.plan.as_of(1)))
    done = materialise(history.settings, as_of=april)
    assert refreshed(done)["payments_agg_90d_fv"] == moment(history.plan.as_of(1))
    agrees(history, april)
    with psycopg.connect(history.settings.conninfo()) as connection:
        (most,) = connection.execute(
            "SELECT max(failed_payments_90d) FROM payments_agg_90d WHERE as_of = %s", (april,)
        ).fetchone() or (0,)
    stayed = set(pd.read_csv(history.folder / "month_003" / "users.csv")["user_id"])
    assert online(history, sorted(stayed))["failed_payments_90d"].max() <= most


def test_an_earlier_moment_restores_the_old_values(history: History) -> None:
    february = moment(history.plan.as_of(1))
    materialise(history.settings, as_of=moment(history.plan.as_of(3)))
    materialise(history.settings, as_of=february)
    agrees(history, february)


@pytest.fixture(params=["online_store.store.WideOnlineStore", "postgres"], ids=["wide", "stock"])
def in_either_store(history: History, request: pytest.FixtureRequest) -> Iterator[History]:
    """The history in a database of its own, with the newest month online."""
    with database_copy(history.settings) as settings:
        settings = settings.model_copy(update={"online_store": request.param})
        apply_features(settings)
        materialise(settings, as_of=moment(history.plan.as_of(3)))
        yield replace(history, settings=settings)


def everybody(history: History) -> list[str]:
    with psycopg.connect(history.settings.conninfo()) as connection:
        return [user for (user,) in connection.execute("SELECT DISTINCT user_id FROM users ORDER BY 1")]


def test_before_the_first_snapshot_nothing_is_online(in_either_store: History) -> None:
    first = moment(in_either_store.plan.as_of(0))
    users = everybody(in_either_store)
    done = materialise(in_either_store.settings, as_of=first - timedelta(days=1))
    assert {each.entities for each in done.refreshes} == {0}
    assert online(in_either_store, users).isna().all(axis=None)
    again = materialise(in_either_store.settings, as_of=first - timedelta(days=1))
    assert set(refreshed(again).values()) == {None}, "the store is known to hold this moment"
    materialise(in_either_store.settings, as_of=first)
    agrees(in_either_store, first)


def test_an_entity_that_came_later_than_the_moment_is_not_online(in_either_store: History) -> None:
    second = moment(in_either_store.plan.as_of(1))
    materialise(in_either_store.settings, as_of=second)
    known = offline(in_either_store, second)
    later = sorted(set(everybody(in_either_store)) - set(known.index))
    assert later, "else there is nothing to see"
    agrees(in_either_store, second)
    assert online(in_either_store, later)["watch_hours_30d"].isna().all()


def test_a_view_whose_first_snapshot_came_later_is_empty_beside_views_that_are_not(in_either_store: History) -> None:
    """As of a moment of which one table alone has rows."""
    early = moment(in_either_store.plan.as_of(0)) - timedelta(days=31)
    with psycopg.connect(in_either_store.settings.conninfo()) as connection:
        add_months(connection, ["payments_agg_90d"], early, early)
        connection.execute("INSERT INTO payments_agg_90d VALUES ('early', %s, %s, 7)", (early, early))
        files = '{"payments_agg_90d.csv": {"sha256": "", "rows": 1, "new_rows": 1}}'
        connection.execute(
            "INSERT INTO loads (folder, as_of, known_at, code_version, files) VALUES ('early', %s, %s, '', %s)",
            (early, early, files),
        )
    done = materialise(in_either_store.settings, as_of=early)
    assert {each.view: each.entities for each in done.refreshes if each.entities} == {"payments_agg_90d_fv": 1}
    found = online(in_either_store, ["early", *everybody(in_either_store)])
    assert found.loc["early", "failed_payments_90d"] == 7
    assert found.drop(index="early").isna().all(axis=None)


def test_written_anew_before_the_first_snapshot_what_others_wrote_goes_too(history: History) -> None:
    with database_copy(history.settings) as settings:
        apply_features(settings)
        user, first = everybody(history)[0], moment(history.plan.as_of(0))
        write_users(settings, {user: {"usage_agg_30d_fv": USER["usage_agg_30d_fv"]}}, first)
        materialise(settings, as_of=first - timedelta(days=1), whole=True)
        assert online(replace(history, settings=settings), [user]).isna().all(axis=None)


def test_what_others_wrote_gives_way_where_all_is_written_anew(history: History) -> None:
    april = moment(history.plan.as_of(3))
    materialise(history.settings, as_of=april)
    later, same = offline(history, april).index[:2]
    strange = {"usage_agg_30d_fv": USER["usage_agg_30d_fv"] | {"watch_hours_30d": -1.0}}
    write_users(history.settings, {later: strange}, april + timedelta(days=1))
    write_users(history.settings, {same: strange}, april)
    materialise(history.settings, as_of=april)
    assert online(history, [later, same])["watch_hours_30d"].tolist() == [-1.0, -1.0], "nothing new was loaded"
    done = materialise(history.settings, as_of=april, whole=True)
    assert set(refreshed(done).values()) == {moment(history.plan.as_of(0))}
    agrees(history, april)


def test_what_a_whole_reading_that_failed_took_away_comes_back(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    april = moment(history.plan.as_of(3))
    materialise(history.settings, as_of=april)
    users = list(offline(history, april).index)
    before = online(history, users)
    with monkeypatch.context() as patch:
        patch.setattr(FeatureStore, "materialize", refused)
        with pytest.raises(ConnectionError):
            materialise(history.settings, as_of=moment(history.plan.as_of(1)))
    materialise(history.settings, as_of=april)
    pd.testing.assert_frame_equal(online(history, users), before)
    assert set(refreshed(materialise(history.settings, as_of=april)).values()) == {None}


def test_where_one_view_fails_the_others_are_kept_and_finished(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next time reads that one alone, and whole, for it was to be read whole."""
    april = moment(history.plan.as_of(3))
    materialise(history.settings, as_of=april)
    users = list(offline(history, april).index)
    before = online(history, users)
    real = same_server.upsert_staged

    def upsert(connection: Any, layout: Any) -> int:
        if layout.view == "payments_agg_90d_fv":
            raise ConnectionError("The disk is full.")
        return real(connection, layout)

    with monkeypatch.context() as patch:
        patch.setattr(same_server, "upsert_staged", upsert)
        with pytest.raises(ConnectionError) as caught:
            materialise(history.settings, as_of=april, whole=True)
    assert any("payments_agg_90d_fv" in note for note in caught.value.__notes__)
    again = refreshed(materialise(history.settings, as_of=april))
    assert {view: since for view, since in again.items() if since} == {
        "payments_agg_90d_fv": moment(history.plan.as_of(0))
    }
    pd.testing.assert_frame_equal(online(history, users), before)


def refused(*_: Any, **__: Any) -> None:
    raise ConnectionError("The server has gone.")


def test_a_view_whose_definition_changed_is_read_whole(history: History) -> None:
    april = moment(history.plan.as_of(3))
    materialise(history.settings, as_of=april)
    with psycopg.connect(history.settings.conninfo()) as connection:
        connection.execute("UPDATE materialisations SET definition = 'another' WHERE view = 'payments_agg_90d_fv'")
    done = refreshed(materialise(history.settings, as_of=april))
    assert {view for view, since in done.items() if since} == {"payments_agg_90d_fv"}
    assert done["payments_agg_90d_fv"] == moment(history.plan.as_of(0))
