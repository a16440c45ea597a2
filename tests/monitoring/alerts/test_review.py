"""Which alerts figures open and close."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from asof.use_cases import load
from monitoring.alerts.alert import Alert, AlertEvent, Event, Severity
from monitoring.alerts.review import Change, Closed, Opened, SeenAgain, Situation, review
from monitoring.alerts.rules import rules_for
from monitoring.records.figure import Figure, Subject, Verdict

RULES = rules_for(load("churn"))
JANUARY, FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
NOW, DAY = datetime(2024, 4, 1, tzinfo=UTC), timedelta(days=1)
PROMOTION = {"promotion": [0.81, 0.79, 0.83]}


def auc(value: float, as_of: datetime = FEBRUARY, verdict: Verdict = Verdict.ALARM, version: str = "1") -> Figure:
    ends = (value - 0.02, value + 0.02)
    return Figure(Subject.PERFORMANCE, "auc", value, 700, as_of, version, "", *ends, verdict, PROMOTION)


def psi(feature: str, value: float, verdict: Verdict = Verdict.ALARM) -> Figure:
    return Figure(Subject.DRIFT, "psi", value, 700, FEBRUARY, "1", feature, verdict=verdict)


def changes(figures: Sequence[Figure], *alerts: Alert, live: str | None = "1", now: datetime = NOW) -> list[Change]:
    return review(RULES, Situation(figures, alerts, live, now, DAY))


def opened(change: Change, *events: AlertEvent) -> Alert:
    """The alert that a change opens, in the table."""
    assert isinstance(change, Opened)
    return Alert(
        **vars(change.alert), alert=UUID(int=1), use_case="churn", opened_at=NOW, opened_by=UUID(int=2), events=events
    )


def event(kind: Event, at: datetime = NOW, **detail: str) -> AlertEvent:
    return AlertEvent(kind, at, "somebody", detail)


def test_performance_below_that_of_promotion_is_an_error_that_says_both() -> None:
    (change,) = changes([auc(0.49), auc(0.8, JANUARY, Verdict.OK)])
    alert = opened(change)
    assert (alert.rule, alert.severity, alert.as_of, alert.retrains) == ("performance", Severity.ERROR, FEBRUARY, True)
    assert alert.title == (
        "AUC of version 1 is 0.49 (0.47 to 0.51) on 700 predictions of 2024-02-29; "
        "at promotion it was 0.81 (0.79 to 0.83)."
    )
    assert alert.detail["figures"][0]["value"] == 0.49


def test_shifted_inputs_are_one_warning_that_never_retrains() -> None:
    figures = [psi(name, value) for name, value in zip("abcde", (0.2, 0.5, 0.3, 0.15, 0.12), strict=True)]
    (change,) = changes([*figures, psi("f", 0.01, Verdict.OK)])
    alert = opened(change)
    assert (alert.severity, alert.retrains) == (Severity.WARNING, False)
    assert alert.title == (
        "5 features differ from the training rows: b (PSI 0.50), c (PSI 0.30), a (PSI 0.20) and 2 more."
    )
    assert [rule.name for rule in RULES if rule.retrains] == ["performance"]


def test_an_open_alert_is_seen_again_once_for_what_is_new() -> None:
    alert = opened(changes([auc(0.49, JANUARY)])[0])
    assert not changes([auc(0.49, JANUARY)], alert)
    (again,) = changes([auc(0.49, JANUARY), auc(0.5)], alert)
    assert isinstance(again, SeenAgain)
    assert again.as_of == FEBRUARY
    seen = event(Event.SEEN_AGAIN, as_of=again.as_of.isoformat(), title=again.title)
    assert not changes([auc(0.49, JANUARY), auc(0.5)], replace(alert, events=(seen,)))


def test_an_alert_closes_when_a_newer_window_is_good() -> None:
    alert = opened(changes([auc(0.49, JANUARY)])[0])
    (change,) = changes([auc(0.49, JANUARY), auc(0.8, verdict=Verdict.OK)], alert)
    assert change == Closed(alert, "performance is within its bounds as of 2024-02-29")


def test_a_window_with_too_few_rows_decides_nothing() -> None:
    alert = opened(changes([auc(0.49, JANUARY)])[0])
    assert not changes([auc(0.49, JANUARY), auc(0.8, verdict=Verdict.TOO_FEW)], alert)
    assert not changes([auc(0.49, verdict=Verdict.TOO_FEW)])


def served(share: float, as_of: datetime) -> Figure:
    verdict = Verdict.ALARM if share else Verdict.OK
    return Figure(Subject.AUDIT, "serving-bug", share, 700, as_of, "1", verdict=verdict)


def test_wrong_values_of_an_older_window_are_told_once_and_those_of_a_newer_one_again() -> None:
    """The audit of the night finds them when a newer window has its first answers."""
    early = [served(0.1, JANUARY), served(0.0, FEBRUARY)]
    alert = opened(changes(early)[0])
    assert (alert.as_of, alert.title) == (JANUARY, "Served values are not what they must be: serving-bug 10.0%.")
    (closed,) = changes(early, alert)
    assert closed == Closed(alert, "audit is within its bounds as of 2024-02-29")
    story = replace(alert, events=(event(Event.CLOSED, by="monitor"),))
    assert not changes(early, story, now=NOW + 2 * DAY)
    later = changes([served(0.1, JANUARY), served(0.2, FEBRUARY)], story, now=NOW + 2 * DAY)
    assert opened(later[0]).as_of == FEBRUARY


def test_alerts_of_a_version_close_when_another_takes_over_and_open_none() -> None:
    alert = opened(changes([auc(0.49)])[0])
    assert changes([auc(0.49)], alert, live="2") == [Closed(alert, "version 2 took over")]
    assert not changes([auc(0.49)], live="2")


def test_without_a_history_every_version_of_the_newest_window_counts() -> None:
    figures = [auc(0.4, JANUARY, version="old"), auc(0.4, version="a"), auc(0.4, version="b")]
    assert [opened(each).version for each in changes(figures, live=None)] == ["a", "b"]


@pytest.mark.parametrize(
    ("by", "as_of", "later", "opens"),
    [
        ("monitor", JANUARY, DAY / 2, False),  # cooling down
        ("monitor", JANUARY, DAY, True),
        ("person", JANUARY, 30 * DAY, False),  # known to a person
        ("person", FEBRUARY, DAY / 2, False),
        ("person", FEBRUARY, DAY, True),
    ],
)
def test_a_closed_alert_opens_again_after_its_cooldown(by: str, as_of: datetime, later: timedelta, opens: bool) -> None:
    closed = opened(changes([auc(0.49, JANUARY)])[0], event(Event.CLOSED, by=by, reason="known"))
    assert bool(changes([auc(0.49, as_of)], closed, now=NOW + later)) is opens


def test_a_large_calibration_error_is_an_error_and_replaces_the_warning() -> None:
    def error(value: float) -> Figure:
        return Figure(Subject.CALIBRATION, "calibration_error", value, 700, FEBRUARY, "1", verdict=Verdict.ALARM)

    warning = opened(changes([error(0.07)])[0])
    assert warning.severity == Severity.WARNING
    closed, larger = changes([error(0.12)], warning)
    assert isinstance(closed, Closed)
    assert opened(larger).severity == Severity.ERROR


def test_every_rule_has_a_sentence_and_a_next_step() -> None:
    about = {Subject.VOLUME: "fee:STALE", Subject.DRIFT: "fee", Subject.SLICE: "plan=yearly", Subject.AUDIT: ""}
    metrics = {"verdict": 0.2, "incomplete_share": 0.5, "psi": 0.3, "auc": 0.4, "calibration_error": 0.2}
    figures = [
        Figure(
            subject, metric, value, 700, FEBRUARY, "1", about.get(subject, ""), verdict=Verdict.ALARM, detail=PROMOTION
        )
        for subject in Subject
        for metric, value in metrics.items()
    ]
    alerts = [opened(each) for each in changes(figures)]
    assert {each.rule for each in alerts} == {rule.name for rule in RULES}
    for each in alerts:
        assert each.title.endswith(".")
        assert each.detail["next"].endswith(".")
