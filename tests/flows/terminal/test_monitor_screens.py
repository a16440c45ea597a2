"""Screens of `flows monitor` and `flows alerts`: in 80 columns, what came of it first."""

from dataclasses import asdict
from datetime import UTC, datetime
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from flows.terminal.screens.monitoring.monitor import alerts_screen, monitor_screen
from flows.terminal.screens.screen import Screen, print_screen
from monitoring.alerts.alert import Alert, AlertEvent, Event, Severity, alert_as_json
from monitoring.records.figure import Figure, Subject, Verdict

JANUARY, FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
TITLE = (
    "AUC of version 1 is 0.49 (0.476 to 0.504) on 7,043 predictions of 2024-02-29; "
    "at promotion it was 0.816 (0.79 to 0.84)."
)


def figure(subject: Subject, metric: str, as_of: datetime = FEBRUARY, **more: Any) -> dict[str, Any]:
    return asdict(Figure(subject, metric, 0.49, 7043, as_of, "1", **more))


FIGURES = [
    figure(Subject.VOLUME, "answers"),
    figure(Subject.PERFORMANCE, "auc", JANUARY, low=0.8, high=0.82),
    figure(Subject.PERFORMANCE, "auc", low=0.476, high=0.504, verdict=Verdict.ALARM),
    figure(Subject.DRIFT, "psi", about="ticket_avg_resolution_hrs_90d", low=0.1, high=0.9, verdict=Verdict.NOTICE),
    figure(Subject.DRIFT, "psi", about="watch_hours_30d"),
    figure(Subject.ESTIMATED, "log_loss", low=0.4, high=0.5, verdict=Verdict.TOO_FEW),
]


def an_alert(*events: AlertEvent) -> dict[str, Any]:
    detail = {"next": "It is retrained.", "retrains": True, "figures": []}
    names = ("performance", "1", FEBRUARY, Severity.ERROR, TITLE, detail)
    row = {"alert": UUID(int=1), "use_case": "churn", "opened_at": FEBRUARY, "opened_by": UUID(int=2)}
    return alert_as_json(Alert(*names, **row, events=events))


def result(**changes: Any) -> dict[str, Any]:
    base = {"use_case": "churn", "version": "1", "page": None, "known_at": FEBRUARY, "saved": True, "answers": 14_086}
    base |= {"windows": [JANUARY, FEBRUARY], "archived": [], "figures": FIGURES, "alerts": [], "closed": []}
    return base | {"retraining": []} | changes


def shown(screen: Screen, width: int = 80) -> list[str]:
    text = StringIO()
    print_screen(Console(file=text, width=width), screen)
    return text.getvalue().splitlines()


def test_an_open_error_is_said_first_and_every_line_of_a_table_fits() -> None:
    told = {"alert": str(UUID(int=1)), "outcome": "There are no labels newer than those of 2024-01-31.", "result": None}
    lines = shown(monitor_screen(result(alerts=[an_alert()], retraining=[told])))
    assert lines[0] == "churn version 1: 1 error."
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    for part in ("2 windows, 14,086 answers", "alarm", "0.476 to 0.504", "There are no labels newer", "Next: It is"):
        assert part in text


def test_of_each_subject_the_newest_window_is_shown_and_of_features_what_is_beyond_chance() -> None:
    lines = shown(monitor_screen(result()))
    assert lines[0] == "churn version 1: nothing is wrong."
    text = "\n".join(lines)
    assert "0.8 to 0.82" not in text
    assert "watch_hours_30d" not in text
    assert "ticket_avg" in text.replace("\n", "")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"windows": []}, "churn version 1: nothing is wrong; nothing is new."),
        ({"figures": [], "version": None}, "The ledger has no answers of churn yet."),
        (
            {"retraining": [{"alert": "1", "outcome": "", "result": {"version": "2", "promoted": True}}]},
            "churn version 1 was wrong: version 2 was trained and promoted.",
        ),
        ({"saved": False}, "Figures of churn version 1 as known at 2024-02-29: not saved, as there are newer ones."),
    ],
)
def test_the_first_line_says_what_came_of_it(changes: dict[str, Any], line: str) -> None:
    assert shown(monitor_screen(result(**changes)), 120)[0] == line


def test_one_alert_is_listed_with_its_history() -> None:
    promoted = {"version": "2", "promoted": True, "as_of": "2024-02-29", "reasons": []}
    closed = {"reason": "version 2 took over", "by": "monitor"}
    events = (
        AlertEvent(Event.HANDLED, FEBRUARY, "training@stack", promoted),
        AlertEvent(Event.CLOSED, FEBRUARY, "training@stack", closed),
    )
    lines = shown(alerts_screen({"use_case": "churn", "alerts": [an_alert(*events)]}))
    assert lines[0] == "1 alert of churn, 0 of them open."
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "version 2 promoted" in text
    assert "version 2 took over" in text
    assert shown(alerts_screen({"use_case": "churn", "alerts": []})) == ["There are no alerts of churn."]
