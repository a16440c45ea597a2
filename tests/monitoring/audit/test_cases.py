"""What an audit leaves out and says so, what it saves, and its command."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource

from asof.features.feature_store import feature_store, quiet
from asof.use_cases import load
from flows.stages.monitoring.audit import audit_result
from monitoring.audit.findings import Finding
from monitoring.audit.reading.sample import LEAST
from monitoring.audit.record import record_audit
from monitoring.records.figure import Subject, Verdict
from monitoring.records.runs import last_run, latest_figures
from monitoring.retention.keep import keep_ledger
from tests.kits.data.extracts import fetch
from tests.kits.machine.terminal import call_flows
from tests.kits.monitoring.audited import APRIL, USERS, Audited, found
from training.erasure.copies.databases import tables
from training.erasure.erase import begin, erase
from training.erasure.subject import subject_of
from training.erasure.work import Work


def overwrite(audited: Audited, feature: str, user: str) -> None:
    change = f"UPDATE {audited.online_table(feature)} SET {feature} = {feature} * 60 + 1 WHERE user_id = %s"
    assert audited.execute(change, user) == 1


def test_the_sample_is_the_same_each_time_and_a_larger_one_contains_it(copied: Audited) -> None:
    """Values are those of 400 users whom the service answered, given here by copying the answers of one."""
    users = [user for (user,) in fetch(copied.settings, f"SELECT user_id FROM users WHERE as_of = '{APRIL}'")]
    columns = "at, request, model, target_as_of, score, item, status, decision, floats, integers, texts"
    add = f"INSERT INTO ledger.predictions ({columns}, entity) SELECT {columns}, %s FROM ledger.predictions LIMIT 1"
    with psycopg.connect(copied.settings.conninfo(), autocommit=True) as connection, connection.cursor() as cursor:
        cursor.executemany(add.encode(), [(user,) for user in users])

    def wrong(share: float) -> tuple[int, int]:
        done = copied.audit(share=share)
        assert done.population == len(users)
        return done.entities, done.errors

    small, again, half, every = wrong(0.05), wrong(0.05), wrong(0.5), wrong(1.0)
    assert small == again
    assert small[0] == LEAST, "of few entities more than the share"
    assert 0.4 < half[0] / len(users) < 0.6
    assert every[0] == len(users)
    assert 0 < small[1] < half[1] < every[1]


def test_what_is_saved_names_no_entity_and_the_latest_figures_are_those_of_the_last_audit(copied: Audited) -> None:
    overwrite(copied, "skips_7d", copied.users[0])
    copied.ask(copied.users[0])
    done = copied.audit()
    record_audit(copied.settings, done, datetime.now(UTC))
    figures = {each.metric: each for each in latest_figures(copied.settings, "churn", [Subject.AUDIT])}
    assert set(figures) == {each.value for each in Finding}
    bug = figures["serving-bug"]
    assert (bug.value, bug.n, bug.as_of, bug.verdict) == (2 / done.values, done.values, APRIL, Verdict.ALARM)
    assert bug.detail["features"] == {"skips_7d": 2}
    assert figures["training-leak"].as_of == APRIL
    assert {each.verdict for name, each in figures.items() if name != "serving-bug"} == {Verdict.OK}
    run = last_run(copied.settings, "churn", "audit")
    assert run is not None
    assert (run.answers, run.first, run.last) == (2 * USERS + 2, APRIL, APRIL)
    saved = fetch(copied.settings, "SELECT r::text FROM monitor_runs r UNION SELECT m::text FROM monitor_metrics m")
    assert not [text for (text,) in saved for user in copied.users if user in text]
    assert copied.users[0] in json.dumps(audit_result(done), default=str)


def test_a_view_that_was_defined_otherwise_is_left_out_and_told(copied: Audited) -> None:
    with feature_store(copied.settings) as store, quiet():
        view = store.get_feature_view("usage_agg_30d_fv")
        query = "SELECT user_id, as_of, created_at, 2 * watch_hours_30d AS watch_hours_30d, avg_session_mins_7d,"
        query += " unique_devices_30d, skips_7d, rebuffer_events_7d FROM usage_agg_30d"
        times = {"timestamp_field": "as_of", "created_timestamp_column": "created_at"}
        view.batch_source = PostgreSQLSource(name="usage_agg_30d", query=query, **times)
        store.apply([view.batch_source, view])
    done = copied.audit()
    assert done.not_audited == {"of a view that is defined otherwise now": 2 * USERS * 4}
    assert done.values == 2 * USERS * 13
    assert any("usage_agg_30d_fv is defined otherwise" in note for note in done.notes)
    assert found(done) == {}


def test_a_feature_service_that_is_gone_is_told(copied: Audited) -> None:
    with feature_store(copied.settings) as store, quiet():
        store.delete_feature_service("churn_v2")
    done = copied.audit()
    assert (done.values, done.errors) == (0, 0)
    assert done.not_audited == {"of a view or feature that is not registered now": 2 * USERS * 17}
    assert any("churn_v2 cannot be read" in note for note in done.notes)


def test_an_erased_user_is_told_and_one_whose_erasure_was_interrupted_is_left_out(copied: Audited) -> None:
    settings = copied.settings
    gone, going = copied.users[:2]
    erase(settings, copied.use_case, gone, reason="asked for")
    interrupted = Work(settings, copied.use_case, subject_of(copied.use_case, going), datetime.now(UTC), "", apply=True)
    from asof.trust.erasure_key import digest, erasure_key

    key = digest(erasure_key(settings), copied.use_case.name, {"user_id": going}).hex()
    begin(settings, replace(interrupted, digest=key), "asked for")
    tables.erase(interrupted)
    done = copied.audit()
    assert (done.erased, done.entities) == (2, USERS - 1)
    assert done.not_audited == {"of an entity that is being erased": 2 * 17}
    assert found(done) == {}
    without_key = replace(copied, settings=settings.model_copy(update={"home": settings.home / "elsewhere"}))
    assert without_key.audit().not_audited == done.not_audited


def test_a_month_of_answers_that_was_moved_is_told(copied: Audited, tmp_path: Path) -> None:
    settings = copied.settings
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        connection.execute("SELECT ledger.make_partitions('2024-01-01', '2024-01-01')")
        values = "('2024-01-15', gen_random_uuid(), 1, 200)"
        connection.execute(f"INSERT INTO ledger.predictions (at, request, model, status) VALUES {values}".encode())
    keep_ledger(settings.ledger_conninfo(), tmp_path, datetime(2024, 3, 1, tzinfo=UTC))
    done = copied.audit(since=datetime(2024, 1, 1, tzinfo=UTC))
    assert [each.month for each in done.moved] == ["2024-01"]
    assert any(note.startswith("Months of answers were moved to files: 2024-01") for note in done.notes)
    assert copied.audit().moved == ()


def test_features_in_the_request_are_told(served_month: Audited) -> None:
    done = replace(served_month, use_case=load("breast_cancer")).audit()
    assert (done.answers, done.values, done.errors) == (0, 0, 0)
    assert "nothing was looked up" in done.notes[0]


def test_an_answer_about_another_moment_and_time_is_left_out(served_month: Audited) -> None:
    assert served_month.audit(as_of=APRIL).answers == 2 * USERS
    assert served_month.audit(as_of=datetime(2024, 3, 31, tzinfo=UTC)).answers == 0
    assert served_month.audit(until=datetime(2024, 1, 1, tzinfo=UTC)).answers == 0


def test_a_run_whose_training_set_is_gone_is_told(copied: Audited) -> None:
    nowhere = {"mlflow_tracking_uri": copied.settings.sqlalchemy_url("psycopg2", "postgres")}
    done = replace(copied, settings=copied.settings.model_copy(update=nowhere)).audit()
    assert found(done) == {}
    assert any("training set" in note for note in done.notes)


@pytest.fixture
def world(copied: Audited) -> Mapping[str, str]:
    return {**os.environ, **copied.settings.environment(), "ASOF_CLOCK": copied.settings.clock.isoformat()}  # type: ignore[union-attr]


def test_the_command_says_first_what_came_of_it_and_fails_where_a_value_is_wrong(
    copied: Audited, world: Mapping[str, str]
) -> None:
    well = call_flows(world, "audit", "churn")
    assert well.returncode == 0, well.stderr
    assert well.stdout.splitlines()[0] == f"No error among {2 * USERS * 17:,} values of {USERS} entities."
    overwrite(copied, "monthly_fee", copied.users[0])
    copied.ask(copied.users[0])
    done = call_flows(world, "audit", "churn", "--sample", "50%")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == f"2 of {(2 * USERS + 2) * 17:,} values of {USERS} entities have an error."
    print(done.stdout)
    assert max(len(line) for line in lines if not line.startswith("Next")) <= 80
    assert "monthly_fee of subs_profile_fv" in " ".join(done.stdout.split())
    assert copied.users[0] in done.stdout
    plain = call_flows(world, "audit", "churn", "--json")
    document = json.loads(plain.stdout)
    (own,) = document["first"]
    assert (own["finding"], own["feature"], document["errors"]) == ("serving-bug", "monthly_fee", 2)
    assert own["load"]["file"] == "subscriptions.csv"
    alone = call_flows(world, "audit", "churn", "--quiet")
    assert alone.stdout.splitlines() == lines[:1]
