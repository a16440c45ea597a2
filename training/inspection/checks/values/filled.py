"""A month -> averages that have a value where there is nothing to average."""

import numpy as np

from asof.extracts.schema import Kind
from training.inspection.column_names import summarised, window_days, words
from training.inspection.finding import Finding, Severity
from training.inspection.month import Month
from training.metrics.statistics import kolmogorov_smirnov


def filled_without_count(month: Month) -> list[Finding]:
    """`filled-without-count:` a summary by its name (`..._avg_...`) with a value other than 0 where its count is 0.

    The count is the first integer column that shares a word with it, and the window where both have one.
    """
    filled = (_filled(month, name, count) for name in month.features(Kind.NUMBER) for count in _counts(month, name))
    return [finding for finding in filled if finding]


def _counts(month: Month, name: str) -> list[str]:
    stems, days = summarised(name), window_days(name)
    integers = month.features(Kind.INTEGER)
    return [each for each in integers if stems & words(each) and window_days(each) in {days, None}][:1]


def _filled(month: Month, name: str, count: str) -> Finding | None:
    values, counts = month.numbers(name), month.numbers(count)
    filled = ~np.isnan(values) & (values != 0)
    without = counts == 0
    made_up = filled & without
    if not made_up.any():
        return None
    distance = kolmogorov_smirnov(values[made_up], values[filled & (counts > 0)]).size
    return Finding(
        f"filled-without-count:{name}",
        Severity.INFO,
        f"{name} is filled in {int(made_up.sum()):,} of the {int(without.sum()):,} rows where {count} is 0; these "
        f"values are at most {distance:.3f} away from those of the other rows (Kolmogorov-Smirnov).",
        "These values are no measurements: leave the column out of the features, or make it null where the count is 0.",
        {"rows_without": float(without.sum()), "filled": float(made_up.sum()), "distance": distance},
    )
