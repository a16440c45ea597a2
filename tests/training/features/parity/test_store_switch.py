"""From Feast's own online store to ours and back: filled, compared, and only then chosen."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from asof.errors import ConfigurationError, DataError
from tests.kits.data import parity as kit
from tests.kits.data.history import CHURN, History, moment
from tests.kits.machine.terminal import call_flows
from tests.kits.service.serving import write_users
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise
from training.features.parity.store_switch import StoreSwitch, compare_stores, switch_store

OURS, STOCK = "online_store.store.WideOnlineStore", "postgres"


@pytest.fixture
def stocked(history: History, request: pytest.FixtureRequest) -> History:
    """On the stock store, as of the third of four months."""
    with kit.database_copy(history.settings) as settings:
        settings = settings.model_copy(update={"online_store": STOCK})
        apply_features(settings)
        materialise(settings, as_of=moment(history.plan.as_of(2)))
        yield replace(history, settings=settings)


def switched(history: History, to: str, file: Path, *, drop: bool = False) -> StoreSwitch:
    return switch_store(history.settings, CHURN, to, file=file, drop=drop)


def tables(history: History) -> set[str]:
    with psycopg.connect(history.settings.conninfo()) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'online'").fetchall()
    return {name for (name,) in rows}


def test_the_other_store_holds_the_same_and_is_chosen(stocked: History, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# ours\nASOF_PORT=3100\n")
    done = switched(stocked, OURS, file)
    assert (done.before, done.after, done.as_of) == (STOCK, OURS, moment(stocked.plan.as_of(2)))
    assert done.users >= 400
    assert file.read_text() == f"# ours\nASOF_PORT=3100\nASOF_ONLINE_STORE={OURS}\n"
    there = stocked.settings.model_copy(update={"online_store": OURS})
    assert compare_stores(stocked.settings, there, CHURN.extract).differences == 0
    assert {"asof_users_fv", "asof.users_fv"} <= tables(stocked)


def test_and_back_and_the_tables_of_the_one_before_go_when_that_is_asked_for(stocked: History, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    switched(stocked, OURS, file)
    later = replace(stocked, settings=stocked.settings.model_copy(update={"online_store": OURS}))
    april = moment(stocked.plan.as_of(3))
    materialise(later.settings, as_of=april)
    done = switched(later, STOCK, file, drop=True)
    assert (done.as_of, done.dropped) == (april, True)
    assert file.read_text() == f"ASOF_ONLINE_STORE={STOCK}\n"
    assert "asof_users_fv" in tables(stocked)
    assert "asof.users_fv" not in tables(stocked)
    apply_features(later.settings)
    again = materialise(later.settings, as_of=april)
    assert {each.since for each in again.refreshes} == {moment(stocked.plan.as_of(0))}, "empty tables are filled whole"


def test_a_value_that_only_the_store_in_use_holds_stops_the_switch(stocked: History, tmp_path: Path) -> None:
    (user,) = _a_user(stocked)
    pushed = {user: {"support_agg_90d_fv": {"support_tickets_90d": 77, "ticket_avg_resolution_hrs_90d": 1.5}}}
    write_users(stocked.settings, pushed, moment(stocked.plan.as_of(2)))
    with pytest.raises(DataError, match=rf"2 of .* differ, so postgres stays in use \({user} support_agg_90d_fv"):
        switched(stocked, OURS, tmp_path / ".env", drop=True)
    assert not (tmp_path / ".env").exists()
    assert "asof_users_fv" in tables(stocked)
    done = materialise(stocked.settings, as_of=moment(stocked.plan.as_of(2)))
    assert {each.since for each in done.refreshes} == {None}, "the store in use is not read anew over what was pushed"


def test_the_store_in_use_is_not_switched_to_and_keeps_what_was_pushed(stocked: History, tmp_path: Path) -> None:
    (user,) = _a_user(stocked)
    with psycopg.connect(stocked.settings.conninfo()) as connection:
        held = "SELECT count(*), max(event_ts), md5(string_agg(value::text, '' ORDER BY entity_key, feature_name))"
        pushed = {user: {"support_agg_90d_fv": {"support_tickets_90d": 77, "ticket_avg_resolution_hrs_90d": 1.5}}}
        write_users(stocked.settings, pushed, moment(stocked.plan.as_of(3)))
        before = connection.execute(f"{held} FROM online.asof_support_agg_90d_fv").fetchone()
        with pytest.raises(ConfigurationError, match="postgres is the online store in use"):
            switched(stocked, STOCK, tmp_path / ".env", drop=True)
        assert connection.execute(f"{held} FROM online.asof_support_agg_90d_fv").fetchone() == before
    assert not (tmp_path / ".env").exists()


def test_the_command_switches_and_says_what_is_to_be_done(stocked: History, tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    done = call_flows(stocked.settings.environment(), "switch-store", "wide", "--file", str(file), "--json")
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout.splitlines()[-1])
    assert (output["before"], output["after"]) == (STOCK, OURS)
    assert datetime.fromisoformat(output["as_of"]) == moment(stocked.plan.as_of(2))
    assert "make up" in output["next"]
    assert file.read_text() == f"ASOF_ONLINE_STORE={OURS}\n"


def _a_user(history: History) -> tuple[str]:
    with psycopg.connect(history.settings.conninfo()) as connection:
        found = connection.execute("SELECT min(user_id) FROM users").fetchone()
    assert found
    return (str(found[0]),)
