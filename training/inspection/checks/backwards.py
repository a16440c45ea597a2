"""Two months -> counts of time that have gone back for some entities."""

import numpy as np

from asof.extract_schema import Kind
from training.inspection.checks.tenure import tenures
from training.inspection.finding import Finding, Severity
from training.inspection.month import Bools, Pair
from training.metrics.classification import Floats

FEWEST_ROWS = 100
STEADY = 0.8
"""The share of the entities whose values grow by one and the same step, from which a column counts time."""
FEW = 0.01
"""Up to this share may have begun again; more is a fault of the extract."""


def going_back(pair: Pair) -> list[Finding]:
    """`goes-back:` a count of time is smaller than a month before, for entities whose date has not moved.

    A count is found by its values: it counts time since a date column, or grows by the same step for most entities.
    """
    found = (_going_back(pair, name, moved) for name, moved in _counts(pair).items())
    return [finding for finding in found if finding]


def _counts(pair: Pair) -> dict[str, Bools]:
    """Each count with the entities in both months that have begun again by its date."""
    never = np.zeros(pair.rows_after.size, dtype=np.bool_)
    steady = {name: never for name in pair.features(Kind.INTEGER, Kind.NUMBER) if _is_steady(*pair.shared(name))}
    dated = {each.count: each.date for month in (pair.before, pair.after) for each in tenures(month)}
    return steady | {name: np.greater(*pair.shared(date)[::-1]) for name, date in dated.items()}


def _is_steady(before: Floats, after: Floats) -> bool:
    steps = np.round(after - before, 6)
    steps = steps[~np.isnan(steps)]
    if steps.size < FEWEST_ROWS:
        return False
    values, counts = np.unique(steps, return_counts=True)
    return bool(values[counts.argmax()] > 0 and counts.max() >= STEADY * steps.size)


def _going_back(pair: Pair, name: str, moved: Bools) -> Finding | None:
    before, after = pair.shared(name)
    both = ~(np.isnan(before) | np.isnan(after))
    back = both & (after < before) & ~moved
    if not back.any():
        return None
    entity = pair.after.frame.index[pair.rows_after[back.argmax()]]
    first = f"{before[back][0]:g} and now {after[back][0]:g}"
    share = back.sum() / both.sum()
    return Finding(
        f"goes-back:{name}",
        Severity.ERROR if share > FEW else Severity.WARNING,
        f"{name} counts time and has gone back for {int(back.sum()):,} of {int(both.sum()):,} entities in both months: "
        f"of {entity} it was {first}, {pair.days:.0f} days later.",
        "Ask whether months were exchanged or ids given to others; who has begun again needs a new date as well.",
        {"entities": float(both.sum()), "gone_back": float(back.sum())},
    )
