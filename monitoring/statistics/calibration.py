"""Are probabilities still those that they say? Spiegelhalter's z, and reliability bins beside those at promotion."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from asof.use_case import GateBounds
from monitoring.records.figure import Subject, Verdict
from monitoring.statistics.measured import Measured, judged
from monitoring.statistics.performance import known_rows
from training.metrics.calibration import (
    ReliabilityBin,
    by_class,
    calibration_error_estimate,
    reliability,
    spiegelhalter,
)
from training.metrics.classification import Floats
from training.metrics.statistics import holm
from training.targets.rules import Labels, Rules, too_few


def calibration(
    rules: Rules,
    labels: Labels,
    predictions: Floats,
    *,
    promotion: Mapping[str, Sequence[ReliabilityBin]],
    bounds: GateBounds = GateBounds(),  # noqa: B008
) -> list[Measured]:
    """The figures `spiegelhalter_z` and `calibration_error`: of the positive class, or of each class against the rest.

    None for a number. An alarm where the probabilities are off by more than chance (Holm over the classes), the error
    is above the gate's bound, and its interval is entirely above that at promotion; a notice where they are off.
    """
    labels, predictions = known_rows(labels, predictions)
    sides = by_class(rules.target.classes, labels, predictions) if labels.size else {}
    tests = {name: spiegelhalter(*each) for name, each in sides.items()}
    p_values, few = holm({name: p_value for name, (_, p_value) in tests.items()}), too_few(rules, labels, bounds)
    figures = []
    for name, each in sides.items():
        found = reliability(*each)
        large = _large(found, promotion.get(name, ()), bounds.calibration_error)
        verdict = Verdict.TOO_FEW if few else judged(Subject.CALIBRATION, p_values[name], large=large)
        figures += [
            _z(name, tests[name][0], p_values[name], labels.size, verdict),
            _error(name, found, promotion.get(name, ()), verdict),
        ]
    return figures


def _large(now: Sequence[ReliabilityBin], before: Sequence[ReliabilityBin], bound: float) -> bool:
    error = calibration_error_estimate(now)
    return error.value > bound and (not before or error.low > calibration_error_estimate(before).high)


def _z(about: str, z: float, p_value: float, rows: int, verdict: Verdict) -> Measured:
    detail = {"p_value": p_value}
    return Measured(Subject.CALIBRATION, "spiegelhalter_z", z, rows, about, verdict=verdict, detail=detail)


def _error(about: str, found: Sequence[ReliabilityBin], before: Sequence[ReliabilityBin], verdict: Verdict) -> Measured:
    error, rows = calibration_error_estimate(found), sum(each.n for each in found)
    columns = {name: [asdict(each)[name] for each in found] for name in ("predicted", "observed", "n")}
    detail = {**columns, "promotion": [asdict(each) for each in before]}
    low, high = error.low, error.high
    return Measured(Subject.CALIBRATION, "calibration_error", error.value, rows, about, low, high, verdict, detail)
