"""Two months -> counts of time that decreased for some entities."""

import numpy as np

from asof.extracts.schema import Kind
from training.inspection.checks.changes.tenure import tenures
from training.inspection.finding import Finding, Severity
from training.inspection.month import Bools, Pair
from training.metrics.classification import Floats

MIN_ROWS = 100
MIN_SAME_STEP = 0.8
"""A column counts time where at least this share of its values grows by the same step."""
ERROR_SHARE = 0.01
"""Up to this share may have restarted; more is an error of the extract."""


def going_back(pair: Pair) -> list[Finding]:
    """`goes-back:` a count of time is smaller than a month before, for entities whose date has not moved.

    A column is such a count if it is a Tenure, or if it grows by the same step for most entities.
    """
    findings = (_going_back(pair, name, moved) for name, moved in _counts(pair).items())
    return [finding for finding in findings if finding]


def _counts(pair: Pair) -> dict[str, Bools]:
    """Each count, and for the entities in both months whether its date has moved."""
    never = np.zeros(pair.rows_after.size, dtype=np.bool_)
    steady = {name: never for name in pair.features(Kind.INTEGER, Kind.NUMBER) if _is_steady(*pair.shared(name))}
    dated = {each.count: each.date for month in (pair.before, pair.after) for each in tenures(month)}
    return steady | {name: np.greater(*pair.shared(date)[::-1]) for name, date in dated.items()}


def _is_steady(before: Floats, after: Floats) -> bool:
    steps = np.round(after - before, 6)
    steps = steps[~np.isnan(steps)]
    if steps.size < MIN_ROWS:
        return False
    values, counts = np.unique(steps, return_counts=True)
    return bool(values[counts.argmax()] > 0 and counts.max() >= MIN_SAME_STEP * steps.size)


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
        Severity.ERROR if share > ERROR_SHARE else Severity.WARNING,
        f"{name} counts time and has gone back for {int(back.sum()):,} of {int(both.sum()):,} entities in both: "
        f"of {entity} it was {first}, {pair.span} later.",
        "Ask whether extracts were swapped or ids reused; an entity that restarts needs a new date as well.",
        {"entities": float(both.sum()), "gone_back": float(back.sum())},
    )
