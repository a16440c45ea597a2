"""A use case as monitoring leaves it: runs, figures and alerts of many windows, planted in the tables."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from asof.extracts.cadence import month_end
from asof.ledger.request_id import new_request_id
from asof.settings import Settings
from monitoring.records.figure import Figure, Subject, Verdict
from monitoring.records.runs import MonitorRun, save_run
from training.release.promotion.history import Change, Event, append, writing

FIRST = datetime(2024, 1, 31, tzinfo=UTC)
USERS = 7043
BINS = ["null", "below", *(f"decile {number}" for number in range(1, 11)), "above"]
CONDITION = "If the concept holds: P(outcome given features) is as in training. Outcomes alone can show it."
PROMOTION = [0.842, 0.826, 0.858]

INSERT_ALERT = """
INSERT INTO public.alerts (alert, use_case, rule, version, as_of, severity, title, detail, opened_at, opened_by)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""
INSERT_EVENT = "INSERT INTO public.alert_events (alert, event, at, actor, detail) VALUES (%s, %s, %s, %s, %s)"


def months(count: int) -> list[datetime]:
    """The windows."""
    return [month_end(FIRST, number) for number in range(count)]


def figures(count: int = 12, features: int = 17, *, changed: int = 6, retrained: int = 8) -> list[Figure]:
    """Drift in window 3, another concept from window `changed` on, version 2 from window `retrained` on."""
    draw = random.Random(7)
    found: list[Figure] = []
    for place, window in enumerate(months(count)):
        version = "1" if place < retrained else "2"
        wrong = changed <= place < retrained
        found += _answers(window, version, waiting=place == count - 1)
        found += _inputs(draw, window, version, features, drifted=place >= 3 and version == "1")
        if place < count - 1:
            found += _outcomes(draw, window, version, wrong=wrong)
    return found


def run_of(use_case: str, windows: Sequence[datetime], *, kind: str = "monitor", answers: int = USERS) -> MonitorRun:
    """A run over these windows."""
    end = windows[-1] + timedelta(days=31)
    return MonitorRun(
        UUID(new_request_id()), use_case, kind, end, end, windows[0], windows[-1], answers, "test@here", "abc1234"
    )


def plant(settings: Settings, use_case: str, own: Sequence[Figure], *, kind: str = "monitor") -> MonitorRun:
    """Saves the figures as one run."""
    run = run_of(use_case, sorted({each.as_of for each in own}) or [FIRST], kind=kind)
    with psycopg.connect(settings.conninfo()) as connection:
        save_run(connection, run, own)
    return run


def plant_alert(
    settings: Settings, run: MonitorRun, *, events: Sequence[tuple[str, dict[str, Any]]] = (), **columns: Any
) -> UUID:
    """An alert opened by the run, with its events an hour apart."""
    alert, opened = UUID(new_request_id()), columns.get("opened_at", run.started_at)
    given = {
        "rule": "performance",
        "version": "1",
        "as_of": FIRST,
        "severity": "error",
        "title": "AUC has fallen",
    } | columns
    with psycopg.connect(settings.conninfo()) as connection:
        names = (given["rule"], given["version"], given["as_of"], given["severity"], given["title"])
        detail = Jsonb(given.get("detail", {}))
        connection.execute(INSERT_ALERT, (alert, run.use_case, *names, detail, opened, run.run))
        for hour, (event, detail_of) in enumerate(events, 1):
            moment = opened + timedelta(hours=hour)
            connection.execute(INSERT_EVENT, (alert, event, moment, "monitor@here", Jsonb(detail_of)))
    return alert


def plant_promotions(settings: Settings, model: str, *versions: tuple[str, str]) -> None:
    """Each version with the reason of its promotion."""
    with writing(settings) as connection:
        previous = None
        for version, reason in versions:
            append(connection, model, [Change(Event.PROMOTED, version, previous, reason)], who="gate@here")
            previous = version


def _answers(window: datetime, version: str, *, waiting: bool) -> Iterator[Figure]:
    def volume(metric: str, value: float, about: str = "") -> Figure:
        return Figure(Subject.VOLUME, metric, value, USERS, window, version, about)

    yield volume("answers", USERS)
    yield volume("refused", 0.004, "missing-features")
    yield volume("verdict", 0.03, "tenure:STALE")
    yield volume("verdict", 0.0004, "support_calls_30d:NOT_FOUND")
    shares = (0.0, 1.0, 0.0, 0.0) if waiting else (0.94, 0.0, 0.0, 0.06)
    names = ("mature_share", "waiting_share", "incomplete_share", "unlabelled_share")
    for name, value in zip(names, shares, strict=True):
        yield Figure(Subject.MATURITY, name, value, USERS, window, version)


def _inputs(draw: random.Random, window: datetime, version: str, features: int, *, drifted: bool) -> Iterator[Figure]:
    for number in range(features):
        name = "tenure" if number == 0 else f"feature_{number:02}"
        far = drifted and number == 0
        deciles = [0.1 + draw.uniform(-0.01, 0.01) + (0.08 if far and place > 6 else 0.0) for place in range(10)]
        observed = [0.0, 0.002, *deciles, 0.06 if far else 0.003]
        verdict = Verdict.ALARM if far else Verdict.TOO_FEW if number == 3 else Verdict.OK
        value = 0.31 if far else draw.uniform(0.001, 0.02)
        detail = {"p_value": 0.0 if far else 0.4, "bins": BINS, "expected": [0.0, 0.0, *[0.1] * 10, 0.0]}
        detail["observed"] = [each / sum(observed) for each in observed]
        yield Figure(
            Subject.DRIFT, "psi", value, USERS, window, version, name, value * 0.7, value * 1.4, verdict, detail
        )
    yield Figure(Subject.JOINT_SHIFT, "auc", 0.512, 2000, window, version, "", 0.49, 0.53, detail={"p_value": 0.21})
    detail = {"training": 0.21, "bins": BINS[2:-1], "expected": [0.1] * 10, "observed": [0.09] * 5 + [0.11] * 5}
    yield Figure(Subject.SCORE_SHIFT, "psi", 0.012, USERS, window, version, "", 0.004, 0.02, detail=detail)
    yield Figure(Subject.SCORE_SHIFT, "mean", 0.208, USERS, window, version, "", 0.2, 0.216, detail={"training": 0.21})
    guess = 0.84 + draw.uniform(-0.005, 0.005)
    detail = {"condition": CONDITION}
    yield Figure(Subject.ESTIMATED, "auc", guess, USERS, window, version, "", guess - 0.01, guess + 0.01, detail=detail)


def _outcomes(draw: random.Random, window: datetime, version: str, *, wrong: bool) -> Iterator[Figure]:
    auc = (0.612 if wrong else 0.843) + draw.uniform(-0.006, 0.006)
    verdict, n = Verdict.ALARM if wrong else Verdict.OK, round(USERS * 0.94)

    def found(
        metric: str, value: float, margin: float, promotion: list[float], verdict: Verdict = Verdict.OK
    ) -> Figure:
        ends = (value - margin, value + margin)
        detail = {"promotion": promotion}
        return Figure(Subject.PERFORMANCE, metric, value, n, window, version, "", *ends, verdict, detail)

    yield found("auc", auc, 0.016, PROMOTION, verdict)
    yield found("log_loss", 0.62 if wrong else 0.41, 0.012, [0.409, 0.395, 0.423], verdict)
    yield found("brier", 0.21 if wrong else 0.13, 0.006, [0.131, 0.125, 0.137], verdict)
    yield found("base_rate", 0.22, 0.01, [0.21, 0.2, 0.22])
    predicted = [0.05 + 0.1 * place for place in range(10)]
    held = [{"predicted": each, "observed": each * 0.98, "n": 150} for each in predicted]
    observed = [0.2 + 0.3 * each if wrong else each * 1.02 for each in predicted]
    bins = {"predicted": predicted, "observed": observed, "n": [n // 10] * 10, "promotion": held}
    z = {"p_value": 0.0 if wrong else 0.5}
    yield Figure(
        Subject.CALIBRATION, "spiegelhalter_z", 9.1 if wrong else 0.6, n, window, version, verdict=verdict, detail=z
    )
    yield Figure(Subject.CALIBRATION, "calibration_error", 0.11 if wrong else 0.012, n, window, version, detail=bins)
    for about, rows in (("contract=monthly", 3100), ("contract=two years", 1500), ("contract=none", 40)):
        few = rows < 200
        margin = 0.9 / rows**0.5
        detail = {"p_value": None if few else 0.6, "rest": [auc, auc - 0.01, auc + 0.01]}
        value, verdict = auc - 0.01, Verdict.TOO_FEW if few else Verdict.OK
        ends = (value - margin, value + margin)
        yield Figure(Subject.SLICE, "auc", value, rows, window, version, about, *ends, verdict, detail)
