"""Alerts in PostgreSQL, and a retraining because of one: by one process, once, with what came of it."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from asof.errors import DataError
from asof.ledger.request_id import new_request_id
from asof.settings import PROJECT, Settings
from asof.use_cases import load
from flows.stages.monitoring.alerts import handle_alert
from monitoring.alerts.alert import Alert
from monitoring.alerts.handling import claimed, close_alert, may_retrain
from monitoring.alerts.rows import alerts_of
from monitoring.alerts.save import SavedRun, save
from monitoring.records.figure import Figure, Subject, Verdict
from monitoring.records.runs import MonitorRun, latest_figures
from tests.kits.models.promotion import always
from tests.kits.models.scoring import Scene
from training.release.promotion.promote import promote
from training.release.registry.versions import model_version

CHURN = load("churn")
JANUARY, NOW = datetime(2024, 1, 31, tzinfo=UTC), datetime.now(UTC)
PROMOTION = {"promotion": [0.81, 0.79, 0.83]}


@pytest.fixture(scope="module")
def shared(scene: Scene) -> Scene:
    promote(scene.settings, scene.versions["churn_v2"], judge=always)
    return scene


@pytest.fixture
def own(shared: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings of a history with nothing monitored yet; its commands see them, too."""
    for name, value in shared.settings.environment().items():
        monkeypatch.setenv(name, value)
    made = shared.versions["churn_v2"]
    older = replace(made, facts=replace(made.facts, as_of=JANUARY))
    monkeypatch.setattr("monitoring.alerts.handling.model_version", lambda *_: older)
    yield shared.settings
    with psycopg.connect(shared.settings.conninfo()) as connection:
        connection.execute("DROP TABLE IF EXISTS alert_events, alerts, monitor_metrics, monitor_runs")


@pytest.fixture
def version(shared: Scene) -> str:
    return shared.versions["churn_v2"].version


def a_run() -> MonitorRun:
    moments = {"started_at": NOW, "known_at": NOW, "first": JANUARY, "last": JANUARY}
    return MonitorRun(UUID(new_request_id()), "churn", "monitor", **moments, answers=1, actor="a", code_version="c")


def auc(version: str, value: float = 0.49, as_of: datetime = JANUARY, verdict: Verdict = Verdict.ALARM) -> Figure:
    return Figure(Subject.PERFORMANCE, "auc", value, 700, as_of, version, "", 0.47, 0.51, verdict, PROMOTION)


def saved(settings: Settings, *figures: Figure) -> SavedRun:
    return save(settings, CHURN, a_run(), figures)


def opened(settings: Settings, version: str) -> Alert:
    (alert,) = saved(settings, auc(version)).alerts
    return alert


def again(settings: Settings) -> Alert:
    (alert,) = alerts_of(settings, "churn")
    return alert


def trained(version: str, *, promoted: bool, as_of: datetime = datetime(2024, 3, 31, tzinfo=UTC)) -> dict[str, Any]:
    """As the stage `retrain` returns it."""
    criteria = [{"name": "auc", "passed": promoted, "reason": "AUC is no better."}]
    facts = {"as_of": as_of}
    return {
        "version": {"version": version, "facts": facts},
        "promotion": {"promoted": promoted, "criteria": criteria},
    }


def story(alert: Alert) -> list[str]:
    return [str(each.event) for each in alert.events]


def test_figures_and_alerts_are_saved_together(own: Settings, version: str) -> None:
    first = saved(own, auc(version))
    assert ([*first.opened], first.live) == ([first.alerts[0].alert], version)
    assert first.alerts[0].opened_by
    second = saved(own, auc(version, as_of=JANUARY + timedelta(days=29)))
    assert (second.opened, [*second.seen_again]) == ([], [*first.opened])
    third = saved(own, auc(version, 0.8, JANUARY + timedelta(days=60), Verdict.OK))
    assert [*third.closed] == [*first.opened]
    assert story(again(own)) == ["seen-again", "closed"]
    assert [each.value for each in latest_figures(own, "churn")] == [0.49, 0.49, 0.8]


def test_a_figure_that_the_newest_run_of_a_window_no_longer_has_is_gone(own: Settings, version: str) -> None:
    slices = [replace(auc(version), subject=Subject.SLICE, about=f"plan={each}") for each in "ab"]
    saved(own, *slices)
    audit = replace(auc(version), subject=Subject.AUDIT)
    save(own, CHURN, replace(a_run(), kind="audit"), [audit])
    saved(own, slices[0])
    assert {(each.subject, each.about) for each in latest_figures(own, "churn")} == {
        (Subject.SLICE, "plan=a"),
        (Subject.AUDIT, ""),
    }


KILLED = """
import os, signal, sys
from unittest import mock
from asof.settings import Settings
from monitoring.alerts import save as module
from tests.flows.test_alerts import CHURN, a_run, auc
def kill(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)
with mock.patch.object(module, sys.argv[1], kill):
    module.save(Settings(), CHURN, a_run(), [auc(sys.argv[2])])
"""


@pytest.mark.parametrize("step", ["read_figures", "add_alert", "read_alerts"])
def test_a_run_that_is_killed_leaves_nothing_half(own: Settings, version: str, step: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, step, version], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert (latest_figures(own, "churn"), alerts_of(own, "churn")) == ([], [])
    assert saved(own, auc(version)).opened


def test_a_retraining_that_is_promoted_closes_the_alert_with_its_story(own: Settings, version: str) -> None:
    alert = opened(own, version)
    saved(own, replace(auc(version), subject=Subject.DRIFT, metric="psi", about="fee"))
    result = handle_alert("churn", alert.alert, lambda: trained("7", promoted=True))
    assert result["handled"]
    first, drift = alerts_of(own, "churn")
    assert story(first) == ["claimed", "handled", "closed"]
    seen = {"version": "7", "as_of": "2024-03-31T00:00:00+00:00"}
    assert first.events[1].detail == {**seen, "promoted": True, "reasons": []}
    assert first.closed
    assert first.closed.detail["reason"] == "version 7 took over"
    assert drift.closed


def test_what_the_gate_refuses_stays_open_and_waits_for_newer_labels(own: Settings, version: str) -> None:
    alert = opened(own, version)
    handle_alert("churn", alert.alert, lambda: trained("7", promoted=False))
    refused = again(own)
    assert not refused.closed
    assert refused.events[-1].detail["reasons"] == ["AUC is no better."]
    cooling = may_retrain(own, CHURN, refused, now=datetime.now(UTC))
    assert not cooling.possible
    assert cooling.reason.startswith("It was tried at ")
    later = may_retrain(own, CHURN, refused, now=datetime.now(UTC) + timedelta(days=2))
    assert later.reason.startswith("There are no labels newer than those of 2024-03-31, which have been seen")


def test_newer_labels_are_a_reason_to_retrain_and_shifted_inputs_are_none(
    own: Settings, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = opened(own, version)
    assert may_retrain(own, CHURN, alert, now=NOW).possible
    monkeypatch.setattr("monitoring.alerts.handling.model_version", model_version)
    assert may_retrain(own, CHURN, alert, now=NOW).reason == (
        "There are no labels newer than those of 2026-02-28, which have been seen: it is retrained once there are."
    )
    drift = replace(alert, detail={"retrains": False}, rule="drift")
    assert may_retrain(own, CHURN, drift, now=NOW).reason == "Nothing is retrained because of drift."


def test_two_who_were_told_retrain_once(own: Settings, version: str) -> None:
    alert = opened(own, version)
    with claimed(own, CHURN, alert.alert) as first, claimed(own, CHURN, alert.alert) as second:
        assert (first.taken, second.taken) == ("", "another process is retraining because of it")
    result = handle_alert("churn", alert.alert, lambda: trained("7", promoted=False))
    assert result["handled"]  # the first one's process is gone without a result
    late = handle_alert("churn", alert.alert, lambda: trained("8", promoted=False))
    assert (late["handled"], late["reason"][:15]) == (False, "It was tried at")
    assert story(again(own)).count("handled") == 1


def test_a_failure_is_recorded_and_raised_and_cools_down(own: Settings, version: str) -> None:
    def failing() -> dict[str, Any]:
        raise DataError("The labels are wrong.")

    alert = opened(own, version)
    with pytest.raises(DataError):
        handle_alert("churn", alert.alert, failing)
    failed = again(own)
    assert (story(failed), failed.events[-1].detail) == (["claimed", "failed"], {"error": "The labels are wrong."})
    assert not may_retrain(own, CHURN, failed, now=datetime.now(UTC)).possible
    assert may_retrain(own, CHURN, failed, now=datetime.now(UTC) + timedelta(hours=25)).possible


def test_after_three_retrainings_that_broke_off_nobody_tries_again(own: Settings, version: str) -> None:
    alert = opened(own, version)
    for _ in range(3):
        with claimed(own, CHURN, alert.alert) as claim:
            assert not claim.taken
    with claimed(own, CHURN, alert.alert) as claim:
        assert claim.taken == "3 retrainings broke off: run one by hand and see why."


def test_a_person_closes_an_alert_once_and_with_a_reason(own: Settings, version: str) -> None:
    alert = opened(own, version)
    close_alert(own, CHURN, alert.alert, "a campaign")
    assert again(own).closed
    assert not saved(own, auc(version)).opened
    with pytest.raises(DataError, match="was closed already: a campaign"):
        close_alert(own, CHURN, alert.alert, "again")
    with pytest.raises(DataError, match="see `python -m flows alerts churn`"):
        close_alert(own, CHURN, uuid4(), "unknown")
