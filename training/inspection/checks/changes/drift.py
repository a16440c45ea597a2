"""Two months -> feature columns whose distribution has changed."""

from collections.abc import Mapping
from dataclasses import dataclass

from asof.extracts.schema import Kind
from training.inspection.finding import Finding, Severity
from training.inspection.month import Pair
from training.metrics.statistics import ALARM, NOTICE, Effect, holm, kolmogorov_smirnov, psi

LARGE_PSI, LARGE_DISTANCE = 0.1, 0.1
"""PSI by the usual rule of thumb (Siddiqi, Credit Risk Scorecards, 2006); Kolmogorov-Smirnov distance."""
MIN_ROWS = 100


@dataclass(frozen=True)
class Shift:
    """The drift of a column; `p_value` is adjusted for all columns and both tests. Text has no `distance`."""

    psi: Effect
    distance: Effect | None
    p_value: float

    @property
    def large(self) -> bool:
        return self.psi.size >= LARGE_PSI or (self.distance is not None and self.distance.size >= LARGE_DISTANCE)


def shifts(pair: Pair) -> Mapping[str, Shift]:
    """PSI and Kolmogorov-Smirnov distance of every feature column but dates, which move with time.

    Entities without a row in the table are left out.
    """
    tests: dict[str, tuple[Effect, Effect | None]] = {}
    for name in pair.features(Kind.TEXT, Kind.BOOLEAN, Kind.INTEGER, Kind.NUMBER):
        before, after = pair.numbers(name)
        before, after = before[pair.before.rows_of(name)], after[pair.after.rows_of(name)]
        if min(before.size, after.size) >= MIN_ROWS:
            kind = pair.after.columns[name].kind
            moved = psi(before, after, levels=kind in (Kind.TEXT, Kind.BOOLEAN))
            tests[name] = moved, None if kind is Kind.TEXT else kolmogorov_smirnov(before, after)
    p_values = {f"{name} {n}": test.p_value for name, both in tests.items() for n, test in enumerate(both) if test}
    adjusted = holm(p_values)
    return {
        name: Shift(*both, min(adjusted[f"{name} {n}"] for n, test in enumerate(both) if test))
        for name, both in tests.items()
    }


def drift(pair: Pair) -> list[Finding]:
    """`drift:` a column whose distribution has moved significantly; a warning where it has moved far."""
    return [_finding(name, shift) for name, shift in shifts(pair).items() if shift.p_value <= NOTICE]


def _finding(name: str, shift: Shift) -> Finding:
    alarming = shift.large and shift.p_value <= ALARM
    far = "far" if alarming else "by more than chance, but not far"
    distance = f", Kolmogorov-Smirnov distance {shift.distance.size:.3f}" if shift.distance else ""
    figures = {"psi": shift.psi.size, "p_value": shift.p_value}
    return Finding(
        f"drift:{name}",
        Severity.WARNING if alarming else Severity.INFO,
        f"{name} has moved {far}: PSI {shift.psi.size:.3f}{distance} (p {shift.p_value:.1g} after Holm).",
        "Find out whether the world has changed or the measurement; an earlier model gets other inputs than it "
        "was trained on.",
        figures | ({"distance": shift.distance.size} if shift.distance else {}),
    )
