"""The rules of alerts: which figures each looks at, how urgent it is, its sentence and the next step.

Whether a figure is an alarm was decided where it was computed, by its test and the use case's bounds. A rule decides
what that means. Only performance on mature outcomes retrains: inputs and scores may shift and the model stay right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from asof.extracts.cadence import moment_text
from asof.use_case import UseCase
from monitoring.alerts.alert import Severity
from monitoring.records.figure import Figure, Subject, Verdict
from training.targets import rules_of

Sentence = Callable[[Sequence[Figure]], str]
SHOWN = 3
"""So many figures are named in a sentence."""


@dataclass(frozen=True)
class Rule:
    """A rule on the figures of one version.

    `metrics`: those that it looks at (empty: all of its subject). `sentence` takes the figures that are alarms, the
    greatest first. `error_from`: where a warning becomes an error. `reports_older`: an alarm of an older window counts,
    too, until an alert has reported it.
    """

    name: str
    subject: Subject
    severity: Severity
    sentence: Sentence
    next_step: str
    metrics: tuple[str, ...] = ()
    retrains: bool = False
    error_from: float | None = None
    reports_older: bool = False

    def sees(self, figure: Figure) -> bool:
        """Whether the rule decides on this figure, and there is something to decide on."""
        named = not self.metrics or figure.metric in self.metrics
        return figure.subject == self.subject and named and figure.verdict != Verdict.TOO_FEW

    def decisive(self, figures: Sequence[Figure], reported: datetime | None) -> tuple[datetime, list[Figure]] | None:
        """The window to decide on, and its figures of this rule that are alarms, the greatest first.

        It is the newest with figures of this rule. `reported` is the newest window that an alert has reported.
        """
        seen = [each for each in figures if self.sees(each)]
        if not seen:
            return None
        as_of = max(each.as_of for each in seen)
        alarms = [each for each in seen if each.verdict == Verdict.ALARM]
        if self.reports_older:
            as_of = max((each.as_of for each in alarms if reported is None or each.as_of > reported), default=as_of)
        own = [each for each in alarms if each.as_of == as_of]
        return as_of, sorted(own, key=lambda each: (-abs(each.value or 0.0), each.about))

    def severity_of(self, alarms: Sequence[Figure]) -> Severity:
        """Its own, or ERROR where an alarm is large."""
        large = self.error_from is not None and any((each.value or 0.0) >= self.error_from for each in alarms)
        return Severity.ERROR if large else self.severity


def rules_for(use_case: UseCase) -> tuple[Rule, ...]:
    """The rules of a use case, the most urgent first."""
    name, headline = use_case.name, rules_of(use_case.target).headline
    look = f"`python -m flows report {name}` shows it beside the training rows."
    return (
        Rule(
            "performance",
            Subject.PERFORMANCE,
            Severity.ERROR,
            lambda alarms: _performance(headline.title, alarms[0]),
            f"It is retrained once there are newer labels; `python -m flows monitor {name} --retrain` does it at once.",
            metrics=(headline.metric,),
            retrains=True,
        ),
        Rule(
            "audit",
            Subject.AUDIT,
            Severity.ERROR,
            lambda alarms: f"Served values are not what they must be: {_named(alarms, _share)}.",
            f"`python -m flows audit {name}` names the first of each kind with its origin.",
            reports_older=True,  # an audit may come when a newer window has its first answers
        ),
        Rule(
            "calibration",
            Subject.CALIBRATION,
            Severity.WARNING,
            lambda alarms: f"The probabilities are no longer calibrated: {_named(alarms, _figure)}.",
            f"Retrain once there are newer labels, or act on ranks and not on probabilities until then. {look}",
            metrics=("calibration_error",),
            error_from=2 * use_case.gate.calibration_error,
        ),
        Rule(
            "slices",
            Subject.SLICE,
            Severity.WARNING,
            lambda alarms: f"The model is worse for a part of the rows: {_named(alarms, _slice)}.",
            look,
        ),
        Rule(
            "missing-values",
            Subject.VOLUME,
            Severity.WARNING,
            lambda alarms: f"More values are missing or stale than in the training rows: {_named(alarms, _share)}.",
            "Look at the last load and at the store: `python -m flows parity`.",
            metrics=("verdict",),
        ),
        Rule(
            "overdue-outcomes",
            Subject.MATURITY,
            Severity.WARNING,
            lambda alarms: (
                f"The outcomes of {moment_text(alarms[0].as_of)} are overdue: "
                f"{alarms[0].value or 0:.0%} of its {alarms[0].n:,} predictions cannot be judged."
            ),
            "Ingest the labels of that moment, or load its outcomes with --complete.",
        ),
        Rule(
            "drift",
            Subject.DRIFT,
            Severity.WARNING,
            lambda alarms: f"{_features(alarms)} from the training rows: {_named(alarms, _psi)}.",
            f"Nothing is retrained for it alone: the model may still be right. {look}",
        ),
        Rule(
            "joint-shift",
            Subject.JOINT_SHIFT,
            Severity.WARNING,
            lambda alarms: f"Answers can be told from training rows by their features together: {_figure(alarms[0])}.",
            f"Nothing is retrained for it alone: the model may still be right. {look}",
        ),
        Rule(
            "score-shift",
            Subject.SCORE_SHIFT,
            Severity.WARNING,
            lambda alarms: f"The scores differ from those of the held-out rows: {_named(alarms, _figure)}.",
            f"Nothing is retrained for it alone: the model may still be right. {look}",
        ),
    )


def _performance(title: str, figure: Figure) -> str:
    value, low, high = figure.detail["promotion"]
    return (
        f"{title} of version {figure.version} is {_interval(figure.value, figure.low, figure.high)} on {figure.n:,} "
        f"predictions of {moment_text(figure.as_of)}; at promotion it was {_interval(value, low, high)}."
    )


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    ends = "" if low is None or high is None else f" ({low:.3g} to {high:.3g})"
    return f"{value or 0.0:.3g}{ends}"


def _named(figures: Sequence[Figure], text: Callable[[Figure], str]) -> str:
    others = len(figures) - SHOWN
    return ", ".join(map(text, figures[:SHOWN])) + (f" and {others} more" if others > 0 else "")


def _features(figures: Sequence[Figure]) -> str:
    return "1 feature differs" if len(figures) == 1 else f"{len(figures)} features differ"


def _figure(figure: Figure) -> str:
    name = figure.metric.replace("_", " ")
    about = f" of {figure.about}" if figure.about else ""
    return f"{name}{about} {_interval(figure.value, figure.low, figure.high)}"


def _psi(figure: Figure) -> str:
    return f"{figure.about} (PSI {figure.value or 0.0:.2f})"


def _slice(figure: Figure) -> str:
    rest = figure.detail.get("rest")
    beside = f", of the others {rest[0]:.3g}" if rest else ""
    return f"{figure.about} ({figure.metric} {figure.value or 0.0:.3g}{beside})"


def _share(figure: Figure) -> str:
    return f"{figure.about or figure.metric} {figure.value or 0.0:.1%}"
