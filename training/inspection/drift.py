"""Two months -> inputs that are distributed otherwise than they were."""

from collections.abc import Mapping
from dataclasses import dataclass

from asof.extract_schema import Kind
from training.inspection.finding import Finding, Severity
from training.inspection.month import Pair
from training.inspection.statistics import ALARM, NOTICE, Effect, holm, kolmogorov_smirnov, psi

LARGE_PSI, LARGE_DISTANCE = 0.1, 0.1
"""PSI by the usual rule of thumb (Siddiqi, Credit Risk Scorecards, 2006); the greatest distance of two distributions."""
FEWEST_ROWS = 100


@dataclass(frozen=True)
class Shift:
    """How far one column has moved, and how sure that is; `p_value` is adjusted for all columns and both tests."""

    psi: Effect
    distance: Effect
    p_value: float

    @property
    def large(self) -> bool:
        return self.psi.size >= LARGE_PSI or self.distance.size >= LARGE_DISTANCE


def shifts(pair: Pair) -> Mapping[str, Shift]:
    """PSI and Kolmogorov-Smirnov for every feature column in both months but dates, which move by themselves."""
    names = [name for name in pair.features(Kind.TEXT, Kind.BOOLEAN, Kind.INTEGER, Kind.NUMBER)]
    if min(len(pair.before.frame), len(pair.after.frame)) < FEWEST_ROWS:
        return {}
    tests = {name: _tests(pair, name) for name in names}
    adjusted = holm({(name, n): test.p_value for name, both in tests.items() for n, test in enumerate(both)})
    return {name: Shift(*both, min(adjusted[name, 0], adjusted[name, 1])) for name, both in tests.items()}


def drift(pair: Pair) -> list[Finding]:
    """`drift:` a column whose distribution has moved by more than chance would; an alarm where it has moved far."""
    return [_finding(name, shift) for name, shift in shifts(pair).items() if shift.p_value <= NOTICE]


def _tests(pair: Pair, name: str) -> tuple[Effect, Effect]:
    before, after = pair.numbers(name)
    kind = pair.after.columns[name].kind
    moved = psi(before, after, levels=kind in (Kind.TEXT, Kind.BOOLEAN))
    # The codes of a text have no order.
    return moved, Effect(0.0, 1.0) if kind is Kind.TEXT else kolmogorov_smirnov(before, after)


def _finding(name: str, shift: Shift) -> Finding:
    alarming = shift.large and shift.p_value <= ALARM
    far = "far" if alarming else "by more than chance, but not far"
    return Finding(
        f"drift:{name}",
        Severity.WARNING if alarming else Severity.INFO,
        f"{name} has moved {far}: PSI {shift.psi.size:.3f}, Kolmogorov-Smirnov distance {shift.distance.size:.3f} "
        f"(p {shift.p_value:.1g} after Holm).",
        "Look whether the world has changed or the way of measuring; a model of last month sees other inputs than it "
        "was trained on.",
        {"psi": shift.psi.size, "distance": shift.distance.size, "p_value": shift.p_value},
    )
