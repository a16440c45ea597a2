"""A month -> the columns that hold one value, or none."""

import numpy as np

from training.inspection.finding import Finding, Severity
from training.inspection.month import Month

FEWEST_ROWS = 30
"""Fewer equal values say little."""


def constant_columns(month: Month) -> list[Finding]:
    """`constant:` one value in every row, or none at all: nothing can be learned from it; of labels, an error."""
    return [finding for name in month.columns if (finding := _constant(month, name))]


def _constant(month: Month, name: str) -> Finding | None:
    values = month.numbers(name)[month.rows_of(name)]
    known = values[~np.isnan(values)]
    if values.size < FEWEST_ROWS or (known.size and known.min() < known.max()):
        return None
    if known.size:
        what = f"holds one value, {month.frame[name].dropna().iloc[0]}, in all {known.size:,} rows that have one"
    else:
        what = f"is empty in all {values.size:,} rows"
    return Finding(
        f"constant:{name}",
        Severity.ERROR if name == month.label else Severity.WARNING,
        f"{name} {what}.",
        "Leave it out of the features, and ask its owner whether the extract fills it with a default.",
        {"rows": float(values.size), "filled": float(known.size)},
    )
