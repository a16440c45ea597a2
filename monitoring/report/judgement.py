"""The sentence at the top of the page: whether the model is still right, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from monitoring.alerts.alert import Alert, Event, Severity
from monitoring.records.figure import Figure, Subject, Verdict
from monitoring.report.evidence import Evidence
from monitoring.report.numbers import counted, interval, moment, number, share, told
from monitoring.report.sections.estimate import condition_of
from monitoring.report.sections.performance import at_promotion, first_capital, main_metrics

ON_OUTCOMES = "performance"
"""The rule whose alert says the same as the newest figure."""
MOST_NAMED = 5
"""Features that are named at the top."""


class State(StrEnum):
    """What is said of the version in Production."""

    RIGHT = "right"
    WATCH = "watch"
    """Nothing says that it is wrong, but something is open."""
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Tile:
    """A number that stands out, with what it rests on."""

    name: str
    value: str
    beside: str


@dataclass(frozen=True)
class Judgement:
    """`sentence` says it, `reasons` say why, in order of weight."""

    state: State
    sentence: str
    reasons: Sequence[str]
    tiles: Sequence[Tile]


def judge(evidence: Evidence) -> Judgement:
    """From outcomes first; an open error is a reason, too; inputs and estimates alone never say that it is wrong."""
    if not evidence.figures:
        sentence = f"Nothing is known yet: run `python -m flows monitor {evidence.use_case}`."
        return Judgement(State.UNKNOWN, sentence, (), ())
    figure = main_figure(evidence)
    errors = [each for each in evidence.open_alerts if each.severity is Severity.ERROR]
    state = _state(figure, errors, evidence)
    return Judgement(
        state, _sentence(state, evidence, figure, errors), _reasons(evidence, figure), _tiles(evidence, figure)
    )


def main_figure(evidence: Evidence) -> Figure | None:
    """The newest figure on outcomes of the version in Production, of the metric that names it."""
    found = [
        each
        for each in evidence.of(Subject.PERFORMANCE, version=evidence.version)
        if each.metric in main_metrics(evidence) and not each.about
    ]
    return found[-1] if found else None


def _state(figure: Figure | None, errors: Sequence[Alert], evidence: Evidence) -> State:
    wrong = figure is not None and figure.verdict is Verdict.ALARM
    if wrong or any(each.version == evidence.version for each in errors):
        return State.WRONG
    if figure is None or figure.value is None or figure.verdict is Verdict.TOO_FEW:
        return State.UNKNOWN
    return State.WATCH if evidence.open_alerts else State.RIGHT


def _sentence(state: State, evidence: Evidence, figure: Figure | None, errors: Sequence[Alert]) -> str:
    name = f"Version {evidence.version}"
    match state:
        case State.WRONG:
            return f"{name} is no longer right: {_why(evidence, figure, errors)}."
        case State.UNKNOWN:
            return f"Whether version {evidence.version} is right is not known yet."
        case State.WATCH:
            number_open = len(evidence.open_alerts)
            are = "is" if number_open == 1 else "are"
            return f"{name} is right on its outcomes, but {counted(number_open, 'alert')} {are} open."
        case State.RIGHT:
            return f"{name} is still right."


def _why(evidence: Evidence, figure: Figure | None, errors: Sequence[Alert]) -> str:
    """A clause; the reasons below have intervals and rows."""
    if figure is None or figure.verdict is not Verdict.ALARM:
        return next(_lower(each.newest[1]) for each in errors if each.version == evidence.version)
    before = at_promotion(figure)
    was = f"where it was {number(before[0])} at promotion" if before else "worse than at promotion"
    return f"its {evidence.headline} is {number(figure.value)} on outcomes, {was}"


def _lower(title: str) -> str:
    """As a clause: the first letter is lowered unless the word is an abbreviation; no full stop."""
    title = title.rstrip(".")
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def _reasons(evidence: Evidence, figure: Figure | None) -> list[str]:
    reasons = [_on_outcomes(evidence, figure)]
    if figure is None or figure.verdict is Verdict.TOO_FEW:
        reasons += _estimate(evidence)
    reasons += _predecessor(evidence)
    told = figure is not None and figure.verdict is Verdict.ALARM
    reasons += [
        f"Open {each.severity}: {each.newest[1]}"
        for each in evidence.open_alerts
        if not (told and (each.rule, each.version) == (ON_OUTCOMES, evidence.version))
    ]
    reasons += _inputs(evidence)
    return reasons


def _on_outcomes(evidence: Evidence, figure: Figure | None) -> str:
    if figure is None:
        return f"It has no mature outcomes{_mature(evidence)}."
    name = f"{first_capital(evidence.headline)} on the outcomes of {moment(figure.as_of)}"
    if figure.value is None or figure.verdict is Verdict.TOO_FEW:
        return f"{name}: {told(figure)}: too few rows to say."
    before = at_promotion(figure)
    if before is None:
        return f"{name}: {told(figure)}; that at promotion is not known."
    return f"{name}: {told(figure)}; at promotion {number(before[0])} ({interval(*before[1:])})."


def _mature(evidence: Evidence) -> str:
    newest = evidence.newest(Subject.MATURITY, "mature_share", evidence.version)
    return (
        f" ({share(newest[0].value)} of {newest[0].n:,} in {moment(newest[0].as_of)})"
        if newest and newest[0].value is not None
        else ""
    )


def _estimate(evidence: Evidence) -> list[str]:
    """Only with its condition."""
    newest = evidence.newest(Subject.ESTIMATED, evidence.metric, evidence.version)
    return [
        f"Estimated {evidence.headline} of {moment(each.as_of)}: {told(each)}. {condition_of(each)}"
        for each in newest
        if each.value is not None
    ]


def _predecessor(evidence: Evidence) -> list[str]:
    """What the alert on the version before led to, where that was the reason for this one."""
    if not evidence.promotions:
        return []
    entry = evidence.promotions[-1]
    before = [each for each in evidence.alerts if each.severity is Severity.ERROR and each.version == entry.previous]
    if not before:
        return []
    alert = next((each for each in before if each.last(Event.HANDLED)), before[0])  # that which was retrained for
    since = f"after the alert of {moment(alert.opened_at)}: {alert.title}"
    return [f"It replaced version {entry.previous} on {moment(entry.at)}, {since}"]


def _inputs(evidence: Evidence) -> list[str]:
    newest = evidence.newest(Subject.DRIFT, version=evidence.version)
    large = [each.about for each in newest if each.verdict is Verdict.ALARM]
    if not large:
        return []
    names = ", ".join([*large[:MOST_NAMED], *(["..."] if len(large) > MOST_NAMED else [])])
    return [
        f"{len(large)} of {counted(len(newest), 'feature')} differ from training in {moment(newest[0].as_of)} "
        f"({names}), which alone does not say that the model is wrong."
    ]


def _tiles(evidence: Evidence, figure: Figure | None) -> list[Tile]:
    tiles = [Tile(first_capital(evidence.headline), number(figure.value) if figure else "not known", _beside(figure))]
    if shares := _mature_shares(evidence, figure):
        rows = sum(each.n for each in shares)
        value = sum((each.value or 0.0) * each.n for each in shares) / rows if rows else 0.0
        tiles.append(Tile("Mature", share(value), f"of {rows:,} in {moment(shares[0].as_of)}"))
    if answers := evidence.newest(Subject.VOLUME, "answers"):
        tiles.append(Tile("Answers", f"{sum(each.n for each in answers):,}", f"in {moment(answers[0].as_of)}"))
    if drift := evidence.newest(Subject.DRIFT, version=evidence.version):
        large = sum(each.verdict is Verdict.ALARM for each in drift)
        tiles.append(Tile("Features that differ", f"{large} of {len(drift)}", f"in {moment(drift[0].as_of)}"))
    errors = sum(each.severity is Severity.ERROR for each in evidence.open_alerts)
    tiles.append(Tile("Open alerts", str(len(evidence.open_alerts)), counted(errors, "error")))
    return tiles


def _mature_shares(evidence: Evidence, figure: Figure | None) -> Sequence[Figure]:
    """Of the window that the first tile is about."""
    return (
        evidence.of(Subject.MATURITY, "mature_share", as_of=figure.as_of)
        if figure
        else evidence.newest(Subject.MATURITY, "mature_share")
    )


def _beside(figure: Figure | None) -> str:
    if figure is None:
        return "no mature outcomes"
    if figure.verdict is Verdict.TOO_FEW:
        return f"too few rows to say, n = {figure.n:,}"
    return f"{interval(figure.low, figure.high)}; n = {figure.n:,}"
