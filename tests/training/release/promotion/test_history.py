"""The history of a registered model: its entries, the detection of changes, and the updates of MLflow."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import psycopg
import pytest

from asof.errors import ModelError
from asof.settings import Settings
from asof.trust.signing_keys import trusted_keys
from asof.use_case import FromRequest
from asof.use_cases import load
from tests.kits.machine.terminal import Done, call_flows
from tests.kits.models.promotion import (
    GOOD,
    Registry,
    always,
    apply_small_features,
    fresh_registry,
    keep,
    restore,
)
from tests.kits.models.training import SMALL, SMALLER, small_use_case
from tests.kits.store.wide import soon
from training.data.snapshots.provenance import actor
from training.models.evaluation.evaluate import Evaluation
from training.release.promotion.hash_chain import chain_errors
from training.release.promotion.history import Change, Entry, Event, append, read_history, writing
from training.release.promotion.locks import Lock, acquire
from training.release.promotion.promote import promote
from training.release.registry.tags import bento_tag
from training.release.registry.versions import ModelVersion, production_number
from training.targets.rules import Criterion
from training.tracking.client import open_tracking, stages_allowed

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"


def three(settings: Settings, evaluations: Mapping[str, Evaluation]) -> Registry:
    """Versions 1 (`less`), 2 (`default`) and 3 (`constant`) of a model, none in Production."""
    registry = fresh_registry(settings, evaluations)
    for estimator in ("less", "default", "constant"):
        registry.version(estimator)
    return registry


@pytest.fixture(scope="module")
def registered(settings: Settings, evaluations: Mapping[str, Evaluation]) -> Registry:
    registry = three(settings, evaluations)
    keep(registry)
    return registry


@pytest.fixture
def registry(registered: Registry) -> Registry:
    """The three versions, as they were registered."""
    return restore(registered)


@pytest.fixture(scope="module")
def changed(settings: Settings, evaluations: Mapping[str, Evaluation]) -> Registry:
    """The same after four changes: 1, 2, 3 and back to 2 in Production."""
    registry = three(settings, evaluations)
    for estimator in ("less", "default", "constant"):
        registry.put(estimator)
    registry.rollback()
    keep(registry)
    return registry


@pytest.fixture
def four(changed: Registry) -> Registry:
    """That model, as it was after the four changes."""
    return restore(changed)


def test_an_entry_says_who_put_which_version_where_when_and_on_what_evidence(registry: Registry) -> None:
    registry.put("less")
    begun = datetime.now(UTC)
    version, settings = registry.version("default"), registry.settings.model_copy(update={"actor": "ann"})
    figures = {"auc": np.float64(0.7), "low": float("nan"), "tiny": 1e-7, "huge": 1e22, "rows": 3}
    criteria = [Criterion("good", np.bool_(True), figures, "much better"), GOOD]  # type: ignore[arg-type]
    promote(settings, version, judge=lambda _: criteria, reason="ticket 7")
    first, entry = registry.history()
    assert (entry.model, entry.seq, entry.event, entry.version, entry.previous) == (
        registry.name,
        2,
        "promoted",
        "2",
        "1",
    )
    assert begun <= entry.at <= datetime.now(UTC)
    assert (entry.who, entry.reason) == ("ann", "ticket 7")
    criterion = {"name": "good", "passed": True, "figures": figures | {"low": "nan"}, "reason": "much better"}
    assert entry.evidence == {"criteria": [criterion, {**criterion, "figures": {"figure": 0.5}, "reason": "because"}]}
    assert entry.fingerprint == version.facts.fingerprint
    assert entry.bento == bento_tag(f"{registry.name}:v2-{version.run_id[:8]}", trusted_keys(registry.settings))
    assert (first.previous_hash, entry.previous_hash, entry.hash) == ("", first.hash, entry.digest)
    assert registry.report().findings == ()


def test_who_acts_is_the_user_and_the_host_unless_it_is_set(registry: Registry) -> None:
    user, _, host = actor(registry.settings.model_copy(update={"actor": None})).partition("@")
    assert user
    assert host
    assert actor(registry.settings.model_copy(update={"actor": "ann"})) == "ann"


def test_the_tags_in_mlflow_name_the_entry(four: Registry) -> None:
    entries = four.history()
    assert four.story() == [
        ("promoted", "1", None),
        ("promoted", "2", "1"),
        ("promoted", "3", "2"),
        ("rolled back", "2", "3"),
    ]
    names = {version: four.tags(version)["history_entry"] for version in ("1", "2", "3")}
    expected = {"1": entries[0], "2": entries[3], "3": entries[2]}
    assert names == {version: f"{entry.seq} {entry.hash}" for version, entry in expected.items()}
    model = four.client.get_registered_model(four.name)
    assert model.tags["history_entry"] == names["2"]
    tags = four.tags("3")
    assert (tags["promoted_from"], tags["rolled_back_because"]) == ("2", "complaints")
    assert tags["promoted_at"] == entries[2].at.isoformat(timespec="seconds")
    assert tags["rolled_back_at"] == entries[3].at.isoformat(timespec="seconds")
    assert four.tags("2")["promoted_from"] == "1"


def test_a_history_of_each_model(four: Registry) -> None:
    other = replace(four, use_case=small_use_case(f"{four.name}_other"))
    other.put("default")
    assert other.story() == [("promoted", "1", None)]
    assert len(four.history()) == 4
    assert four.report().intact
    assert other.report().intact


def test_entries_that_belong_together_are_written_all_or_none(registry: Registry) -> None:
    found = Change(Event.ADOPTED, "1", None, "there was no history yet")
    with writing(registry.settings) as connection, pytest.raises(psycopg.errors.NotNullViolation):
        append(connection, registry.name, [found, replace(found, reason=None)], who="ann")  # type: ignore[arg-type]
    assert registry.story() == []


def test_a_version_without_a_single_criterion_stays_out(registry: Registry) -> None:
    assert not registry.put("default", lambda champion: []).promoted
    assert registry.story() == []


# --- changes are detected -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    ["UPDATE promotions SET reason = 'another'", "DELETE FROM promotions WHERE seq = 1", "TRUNCATE promotions"],
)
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_the_table_refuses_all_but_new_rows(four: Registry, statement: str, role: str) -> None:
    before = four.history()
    with psycopg.connect(four.settings.conninfo()) as connection:
        connection.execute(f"SET session_replication_role = {role}")
        with pytest.raises(psycopg.errors.RaiseException, match="of table promotions is refused: it is append-only"):
            connection.execute(statement)
    assert four.history() == before


@contextmanager
def tampering(registry: Registry) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """What an owner of the table can do: switch the triggers off."""
    with psycopg.connect(registry.settings.conninfo()) as connection:
        connection.execute("ALTER TABLE promotions DISABLE TRIGGER append_only")
        yield connection
        connection.execute("ALTER TABLE promotions ENABLE ALWAYS TRIGGER append_only")


CHANGES = {
    "event": "'adopted'",
    "version": "'1'",
    "previous": "NULL",
    "at": "at - interval '1 microsecond'",
    "who": "'eve'",
    "reason": "reason || ' '",
    "evidence": "'{\"criteria\": []}'",
    "fingerprint": "'0'",
    "bento": "'0'",
}


@pytest.mark.parametrize("column", CHANGES)
def test_a_changed_row_is_found(four: Registry, column: str) -> None:
    with tampering(four) as connection:
        connection.execute(
            f"UPDATE promotions SET {column} = {CHANGES[column]} WHERE model = %s AND seq = 2", [four.name]
        )
    assert four.report().findings == ("entry 2 was changed after it was written: its hash does not fit it",)


def test_every_column_can_be_found_changed() -> None:
    assert {each.name for each in fields(Entry)} == {*CHANGES, "model", "seq", "previous_hash", "hash"}


def test_a_changed_row_with_a_hash_that_fits_it_is_found(four: Registry) -> None:
    crafted = replace(four.history()[1], reason="another")
    with tampering(four) as connection:
        connection.execute(
            "UPDATE promotions SET reason = %s, hash = %s WHERE model = %s AND seq = 2",
            [crafted.reason, crafted.digest, four.name],
        )
    assert four.report().findings == ("entry 3 does not follow the entry before it: one of them was replaced",)


@pytest.mark.parametrize(("gone", "named"), [("seq = 1", "1"), ("seq = 3", "3"), ("seq IN (2, 3)", "2 to 3")])
def test_a_deleted_row_is_found(four: Registry, gone: str, named: str) -> None:
    with tampering(four) as connection:
        connection.execute(f"DELETE FROM promotions WHERE model = %s AND {gone}", [four.name])
    assert four.report().findings == (f"entry {named} is missing",)


def test_a_deleted_row_whose_followers_moved_up_is_found(four: Registry) -> None:
    with tampering(four) as connection:
        connection.execute("DELETE FROM promotions WHERE model = %s AND seq = 2", [four.name])
        for seq in (3, 4):
            connection.execute("UPDATE promotions SET seq = seq - 1 WHERE model = %s AND seq = %s", [four.name, seq])
    assert "entry 2 was changed after it was written: its hash does not fit it" in four.report().findings
    assert "entry 2 does not follow the entry before it: one of them was replaced" in four.report().findings


@pytest.mark.parametrize("kept", [0, 3])
def test_a_tail_that_was_cut_off_is_found_by_what_mlflow_knows(four: Registry, kept: int) -> None:
    head = four.history()[-1]
    with tampering(four) as connection:
        connection.execute("DELETE FROM promotions WHERE model = %s AND seq > %s", [four.name, kept])
    assert four.report().findings == (f"entry 4 (hash {head.hash[:12]}) is gone: MLflow's tags still name it",)


def test_a_tail_that_was_cut_off_and_written_otherwise_is_found(four: Registry) -> None:
    head = four.history()[-1]
    crafted = replace(head, version="1")
    with tampering(four) as connection:
        connection.execute(
            "UPDATE promotions SET version = '1', hash = %s WHERE model = %s AND seq = 4", [crafted.digest, four.name]
        )
    assert four.report().findings == (f"entry 4 (hash {head.hash[:12]}) is gone: MLflow's tags still name it",)


def test_a_fork_is_found(four: Registry) -> None:
    entries = four.history()
    twin = replace(entries[3], reason="another")
    assert chain_errors(entries) == []
    assert chain_errors([*entries, replace(twin, hash=twin.digest)]) == [
        "entry 4 is there more than once: the history forks"
    ]
    columns = ", ".join(each.name for each in fields(Entry))
    again = f"INSERT INTO promotions ({columns}) SELECT {columns} FROM promotions WHERE model = %s"
    with psycopg.connect(four.settings.conninfo()) as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(again, [four.name])


def test_after_its_tail_was_deleted_mlflows_state_is_adopted_and_the_loss_stays_reported(
    four: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a restore of PostgreSQL from an older backup: a promotion must go on, and nothing is swept away."""
    head = four.history()[-1]
    with tampering(four) as connection:
        connection.execute("DELETE FROM promotions WHERE model = %s AND seq > 1", [four.name])
    assert not four.put("less", lambda champion: [replace(GOOD, passed=False)]).promoted
    lost = f"entry 4 (hash {head.hash[:12]}) is gone: MLflow's tags still name it"
    assert f"Version 2 of {four.name}, as MLflow shows it, was adopted: {lost}" in caplog.text
    assert four.story() == [("promoted", "1", None), ("adopted", "3", "2"), ("adopted", "2", "1")]
    assert four.history()[-1].reason == lost
    assert (four.report().findings, four.report().mlflow) == ((), "")
    assert four.tags("3")["rolled_back_because"] == "complaints"
    assert four.rollback().version == "1"


# --- updates of MLflow --------------------------------------------------------------------------------------------


def test_an_alias_that_was_moved_by_hand_is_put_back_and_both_versions_are_named(
    four: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    state = four.state()
    four.client.set_registered_model_alias(four.name, "production", "3")
    by_hand = (
        "MLflow was changed by hand after entry 4 (rolled back, version 2 in Production): alias `production` on 3, "
        "stage Production on 2"
    )
    assert (four.report().mlflow, four.report().intact) == (by_hand, True)
    champions: list[str | None] = []

    def judge(champion: ModelVersion | None) -> list[Criterion]:
        champions.append(champion and champion.version)
        return [replace(GOOD, passed=False)]

    four.put("less", judge)
    assert champions == ["2"]
    assert f"{four.name}: {by_hand}" in caplog.text
    assert four.state() == state
    assert len(four.history()) == 4


def test_tags_and_stages_that_were_changed_by_hand_are_put_back(four: Registry) -> None:
    state = four.state()
    with stages_allowed():
        four.client.transition_model_version_stage(four.name, "3", "Production")
    four.client.delete_model_version_tag(four.name, "2", "promoted_from")
    four.client.set_model_version_tag(four.name, "1", "rolled_back_because", "nothing")
    assert four.rollback(to="2").previous == "2"
    assert four.state() == state


def test_an_alias_moved_by_hand_while_the_gate_judges_stops_the_promotion(four: Registry) -> None:
    def meddling(champion: ModelVersion | None) -> list[Criterion]:
        four.client.set_registered_model_alias(four.name, "production", "3")
        return [GOOD]

    with pytest.raises(ModelError, match=r"has changed meanwhile \(it was 2, now it is 3\): try again"):
        four.put("less", meddling)
    assert len(four.history()) == 4
    assert four.put("less").previous == "2"


def test_a_change_that_came_first_stops_the_promotion_even_without_the_lock(four: Registry) -> None:
    """The lock is lost when PostgreSQL ends the session, as in a restart; another process can then acquire it."""

    def disturbed(champion: ModelVersion | None) -> list[Criterion]:
        with psycopg.connect(four.settings.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                "AND database = (SELECT oid FROM pg_database WHERE datname = %s)",
                [four.settings.database().database],
            )
        assert four.put("constant").promoted
        return [GOOD]

    with pytest.raises(psycopg.OperationalError):
        four.put("less", disturbed)
    assert four.story()[4:] == [("promoted", "3", "2")]
    assert (four.report().mlflow, four.report().findings) == ("", ())


def upgraded(registry: Registry) -> None:
    """A registry as it was before there was a history: 1 and then 3 in Production, by alias, stage and tags."""
    for version, before in (("1", ""), ("3", "1")):
        registry.client.set_model_version_tag(registry.name, version, "promoted_at", f"2026-01-0{version}T00:00:00")
        registry.client.set_model_version_tag(registry.name, version, "promoted_from", before)
        with stages_allowed():
            registry.client.transition_model_version_stage(
                registry.name, version, "Production", archive_existing_versions=True
            )
        registry.client.set_registered_model_alias(registry.name, "production", version)


def test_a_registry_from_before_the_history_is_adopted_with_all_that_it_knows(registry: Registry) -> None:
    upgraded(registry)
    assert registry.report().findings == ()
    assert registry.report().mlflow.startswith("version 3 is in Production; the next promotion or rollback begins")
    before = {version: registry.tags(version) for version in ("1", "2", "3")}
    assert registry.put("default").previous == "3"
    assert registry.story() == [("adopted", "1", None), ("adopted", "3", "1"), ("promoted", "2", "3")]
    adopted = registry.history()[1]
    assert adopted.reason == "there was no history yet"
    assert adopted.fingerprint == before["3"]["fingerprint"]
    for version in ("1", "3"):
        assert registry.tags(version).items() >= before[version].items()
    assert [registry.rollback().version for _ in range(2)] == ["3", "1"]


def test_a_version_in_production_that_was_deleted_leaves_production_empty(registry: Registry) -> None:
    registry.put("less")
    registry.put("default")
    registry.client.delete_model_version(registry.name, "2")
    with pytest.raises(ModelError, match="is in Production: promote one first"):
        registry.rollback()
    assert registry.story()[2:] == [("adopted", None, None)]
    assert registry.history()[-1].reason == "version 2 is gone from MLflow"
    assert registry.put("constant").previous is None
    assert (registry.report().findings, registry.report().mlflow) == ((), "")


def test_a_dry_run_judges_and_changes_nothing(registry: Registry) -> None:
    version = registry.version("default")
    assert promote(registry.settings, version, judge=always, dry_run=True).criteria == (GOOD,)
    assert not promote(registry.settings, version, judge=always, dry_run=True).promoted
    assert (registry.story(), registry.stages()) == ([], dict.fromkeys("123", "None"))
    registry.put("less")
    registry.client.set_registered_model_alias(registry.name, "production", "3")
    before = registry.state()
    outcome = promote(registry.settings, version, judge=always, dry_run=True)
    assert (outcome.promoted, outcome.previous) == (False, "1")
    assert (registry.state(), len(registry.history())) == (before, 1)


def test_a_dry_run_does_not_wait(registry: Registry) -> None:
    version = registry.version("default")

    def judge(champion: ModelVersion | None) -> list[Criterion]:
        return list(promote(registry.settings, version, judge=always, dry_run=True).criteria)

    assert registry.put("less", judge).promoted


# --- one at a time -----------------------------------------------------------------------------------------------


def test_of_two_concurrent_promotions_one_is_refused(four: Registry) -> None:
    judged: list[bool] = []

    def judge(champion: ModelVersion | None) -> list[Criterion]:
        with pytest.raises(ModelError, match=r"Another promotion of .* is going on: wait for it to end"):
            four.put("constant", lambda champion: judged.append(True) or [GOOD])
        return [GOOD]

    assert four.put("less", judge).promoted
    assert judged == []
    assert four.story()[4:] == [("promoted", "1", "2")]


def test_a_rollback_does_not_wait_for_a_gate_and_what_that_judges_is_void(four: Registry) -> None:
    def judge(champion: ModelVersion | None) -> list[Criterion]:
        assert four.rollback().version == "1"
        return [GOOD]

    with pytest.raises(ModelError, match=r"has changed meanwhile \(it was 2, now it is 1\): try again"):
        four.put("constant", judge)
    assert four.story()[4:] == [("rolled back", "1", "2")]
    assert four.report().mlflow == ""


@pytest.mark.parametrize("change", [Registry.rollback, partial(Registry.put, estimator="less")])
def test_a_change_is_refused_during_another(four: Registry, change: Callable[[Registry], object]) -> None:
    with writing(four.settings) as connection:
        acquire(connection, Lock.CHANGE, four.name)
        with pytest.raises(ModelError, match=r"Another promotion or rollback of .* is going on: wait"):
            change(four)
    assert len(four.history()) == 4
    change(four)
    assert four.story()[4:] in ([("rolled back", "1", "2")], [("promoted", "1", "2")])


def test_two_models_do_not_wait_for_each_other(registry: Registry) -> None:
    other = replace(registry, use_case=small_use_case(f"{registry.name}_other"))

    def judge(champion: ModelVersion | None) -> list[Criterion]:
        assert other.put("default").promoted
        return [GOOD]

    assert registry.put("less", judge).promoted


def test_a_table_that_many_make_at_once_is_made_once(settings: Settings) -> None:
    """All of them have seen that it is not there, and wait for the one that makes it."""
    names = [f"made_by_{number}" for number in range(4)]

    def add(name: str) -> None:
        with writing(settings) as connection:
            append(connection, name, [Change(Event.PROMOTED, "1", None, "")], who="ann")

    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS promotions")
        connection.execute("SELECT pg_advisory_lock(hashtextextended('asof makes public.promotions', 0))")
        with ThreadPoolExecutor(len(names)) as pool:
            made = [pool.submit(add, name) for name in names]
            soon(lambda: connection.execute(WAITING).fetchone() == (len(names),))
            connection.execute("SELECT pg_advisory_unlock_all()")
            for each in made:
                each.result()
        assert [len(read_history(connection, name)) for name in names] == [1] * len(names)
        connection.execute("DROP TABLE promotions")  # the other tests know no such models


# --- back again --------------------------------------------------------------------------------------------------


def test_a_rollback_to_features_that_the_store_no_longer_gives_is_refused(four: Registry) -> None:
    hours, *others = SMALL.features
    apply_small_features(four.settings, replace(SMALL, features=(replace(hours, dtype="Int64"), *others)), SMALLER)
    four.rollback(to="1")
    refusal = (
        r"version 2 could not answer any more: only the model has usage_fv:hours \(Float64\); only the registry has "
        r"usage_fv:hours \(Int64\)\. Run `feast apply`"
    )
    with pytest.raises(ModelError, match=refusal):
        four.rollback(to="2")
    apply_small_features(four.settings, SMALLER)
    with pytest.raises(ModelError, match="the feature store knows no feature service 'small_v1'"):
        four.rollback(to="2")
    assert production_number(four.client, four.name) == "1"
    apply_small_features(four.settings, SMALL, SMALLER)
    assert four.rollback(to="2").version == "2"


def test_a_rollback_to_features_that_a_request_no_longer_gives_is_refused(four: Registry) -> None:
    cancer = load("breast_cancer").source
    assert isinstance(cancer, FromRequest)
    four.rollback(to="1")
    asked = replace(four, use_case=replace(four.use_case, source=replace(cancer, contract=SMALLER)))
    with pytest.raises(ModelError, match=r"only the model has usage_fv:hours \(Float64\)\. Train again"):
        asked.rollback(to="2")
    assert four.story()[-1] == ("rolled back", "1", "2")


def test_the_reason_of_a_rollback_is_in_the_history(four: Registry) -> None:
    four.rollback(to="1", reason="two of them: 'quotes', and ünïcödé")
    entry = four.history()[-1]
    assert (entry.event, entry.reason) == (Event.ROLLED_BACK, "two of them: 'quotes', and ünïcödé")
    assert four.tags("2")["rolled_back_because"] == entry.reason
    assert four.report().intact


def test_the_command_shows_the_history_and_fails_where_it_is_broken(
    settings: Settings, evaluations: Mapping[str, Evaluation]
) -> None:
    churn = Registry(settings, load("churn"), evaluations, open_tracking(settings))
    churn.put("less")
    churn.put("default")

    def show(*words: str) -> Done:
        return call_flows(os.environ, "history", "churn", *words)

    table = show()
    assert table.returncode == 0, table
    assert "version 2 is in Production; the history of 2 entries is intact" in " ".join(table.stdout.split())
    assert "agrees" in table.stdout
    found = json.loads(show("--json").stdout.splitlines()[-1])
    assert [each["version"] for each in found["entries"]] == ["1", "2"]
    assert (found["intact"], found["findings"], found["mlflow"]) == (True, [], "")
    with tampering(churn) as connection:
        connection.execute("UPDATE promotions SET who = 'eve' WHERE model = %s AND seq = 1", [churn.name])
    assert show().returncode == 1
    broken = show("--json")
    assert (broken.returncode, json.loads(broken.stdout.splitlines()[-1])["intact"]) == (1, False)


def test_a_moment_is_the_same_in_every_time_zone(four: Registry) -> None:
    entry = four.history()[0]
    with psycopg.connect(four.settings.conninfo(), options="-c timezone=Asia/Tokyo") as connection:
        from training.release.promotion.history import read_history

        assert read_history(connection, four.name)[0].digest == entry.hash
    assert entry.at.utcoffset() == timedelta(0)
