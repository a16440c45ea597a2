"""Whether the model is said to be right: outcomes decide, and what is not known is not said."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from monitoring.alerts import alert as alerts
from monitoring.alerts.alert import Alert, AlertEvent, Severity
from monitoring.records.figure import Figure, Subject, Verdict
from monitoring.report.evidence import Evidence, version_key
from monitoring.report.judgement import State, judge
from tests.kits.ledger.monitored import figures, months
from training.release.promotion.history import Entry, Event

NOW = datetime(2024, 9, 1, tzinfo=UTC)
EMPTY = Evidence("churn", "Churn", "auc", "AUC", NOW)
RIGHT = replace(EMPTY, figures=figures(6))
WRONG = replace(EMPTY, figures=figures(8))


def alert(version: str = "1", severity: str = "error", *events: str) -> Alert:
    happened = tuple(AlertEvent(alerts.Event(each), NOW, "a", {}) for each in events)
    names = ("performance", version, months(1)[0], Severity(severity), "AUC has fallen.", {"next": "Retrain."})
    return Alert(*names, uuid4(), "churn", NOW, uuid4(), happened)


def entry(version: str | None, previous: str | None = None, at: datetime = NOW) -> Entry:
    facts = {"model": "m", "seq": 1, "at": at, "who": "gate", "previous_hash": ""}
    return Entry(Event.PROMOTED, version, previous, "better", **facts)  # type: ignore[arg-type]


def test_a_version_whose_outcomes_are_as_at_promotion_is_right() -> None:
    found = judge(RIGHT)
    assert (found.state, found.sentence) == (State.RIGHT, "Version 1 is still right.")
    assert "at promotion 0.842 (0.826 to 0.858)" in found.reasons[0]


def test_a_version_that_is_worse_on_outcomes_is_wrong_even_before_an_alert_is_open() -> None:
    said = r"Version 1 is no longer right: its AUC is 0.6\d\d on outcomes, where it was 0.842 at promotion\."
    found = judge(replace(WRONG, alerts=[alert()]))
    assert re.fullmatch(said, judge(WRONG).sentence)
    assert re.fullmatch(said, found.sentence)
    assert [each for each in found.reasons if "AUC has fallen" in each] == []  # the first reason says it


def test_an_open_error_makes_its_version_wrong_and_no_other() -> None:
    assert judge(replace(RIGHT, alerts=[alert()])).sentence == "Version 1 is no longer right: AUC has fallen."
    assert judge(replace(RIGHT, alerts=[alert(version="7")])).state is State.WATCH
    assert judge(replace(RIGHT, alerts=[alert("1", "error", "handled", "closed")])).state is State.RIGHT


def test_a_warning_is_watched() -> None:
    found = judge(replace(RIGHT, alerts=[alert(severity="warning")]))
    assert (found.state, found.sentence) == (State.WATCH, "Version 1 is right on its outcomes, but 1 alert is open.")


@pytest.mark.parametrize("subject", [Subject.DRIFT, Subject.JOINT_SHIFT, Subject.SCORE_SHIFT, Subject.ESTIMATED])
def test_inputs_and_estimates_alone_never_say_that_it_is_wrong(subject: Subject) -> None:
    loud = [replace(each, verdict=Verdict.ALARM) if each.subject is subject else each for each in RIGHT.figures]
    assert judge(replace(RIGHT, figures=loud)).state is State.RIGHT


def test_without_mature_outcomes_nothing_is_said_but_the_estimate_with_its_condition() -> None:
    unknown = replace(EMPTY, figures=figures(1))
    found = judge(unknown)
    assert (found.state, found.sentence) == (State.UNKNOWN, "Whether version 1 is right is not known yet.")
    assert found.reasons[0] == "It has no mature outcomes (0.0 % of 7,043 in 2024-01-31)."
    assert "If the concept holds" in found.reasons[1]


def test_too_few_outcomes_say_nothing() -> None:
    few = [
        replace(each, verdict=Verdict.TOO_FEW, n=31) if each.subject is Subject.PERFORMANCE else each
        for each in RIGHT.figures
    ]
    found = judge(replace(RIGHT, figures=few))
    assert found.state is State.UNKNOWN
    assert "n = 31): too few rows to say" in found.reasons[0]


def test_a_version_that_was_just_promoted_is_judged_by_its_own_outcomes() -> None:
    promoted = replace(WRONG, promotions=[entry("1"), entry("2", "1")], alerts=[alert("1", "error", "closed")])
    found = judge(promoted)
    assert (found.state, found.sentence) == (State.UNKNOWN, "Whether version 2 is right is not known yet.")
    assert "It replaced version 1 on 2024-09-01, after the alert of 2024-09-01: AUC has fallen." in found.reasons


def test_of_several_alerts_that_is_named_which_was_retrained_for() -> None:
    other = replace(alert("1", "error", "closed"), rule="calibration", title="Calibration is off.")
    handled = alert("1", "error", "handled", "closed")
    found = judge(replace(WRONG, promotions=[entry("1"), entry("2", "1")], alerts=[other, handled]))
    assert [each for each in found.reasons if "It replaced" in each and "AUC has fallen" in each]


def test_after_a_rollback_to_nothing_the_newest_version_is_judged() -> None:
    assert replace(RIGHT, promotions=[entry("1"), entry(None, "1")]).version == "1"


def test_versions_are_in_the_order_of_numbers() -> None:
    assert sorted(["10", "9", "b", "1"], key=version_key) == ["1", "9", "10", "b"]


def test_a_figure_about_a_part_does_not_judge_the_whole() -> None:
    part = Figure(Subject.PERFORMANCE, "auc", 0.5, 99, months(9)[-1], "1", "class=a", verdict=Verdict.ALARM)
    assert judge(replace(RIGHT, figures=[*RIGHT.figures, part])).state is State.RIGHT
