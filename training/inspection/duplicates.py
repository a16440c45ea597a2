"""A month -> feature columns that say the same twice."""

from itertools import combinations

import numpy as np

from asof.extract_schema import Kind
from training.inspection.finding import Finding, Severity
from training.inspection.month import Month
from training.metrics import Floats

MOST_LEVELS = 50
FEWEST_ROWS = 30
RARE = 5
"""Two flags may agree by chance where either is set (or not) in fewer rows than this."""
SAME = 1 - 1e-9
"""The correlation from which two columns of numbers are one: the same up to unit and origin."""


def duplicated_columns(month: Month) -> list[Finding]:
    """`duplicate:` two number columns on one straight line, or two columns of few values with the same partition."""
    numbers = {name: month.numbers(name) for name in month.features(Kind.INTEGER, Kind.NUMBER, Kind.DATE)}
    groups = {name: month.numbers(name) for name in month.features(Kind.TEXT, Kind.BOOLEAN)}
    groups = {name: values for name, values in groups.items() if len(month.levels(name)) <= MOST_LEVELS}
    pairs = [pair for pair in combinations(numbers, 2) if _on_a_line(numbers[pair[0]], numbers[pair[1]])]
    pairs += [pair for pair in combinations(groups, 2) if _same_groups(groups[pair[0]], groups[pair[1]])]
    return [_finding(first, second, len(month.frame)) for first, second in pairs]


def _on_a_line(first: Floats, second: Floats) -> bool:
    known = ~np.isnan(first)
    if not np.array_equal(known, ~np.isnan(second)) or known.sum() < FEWEST_ROWS:
        return False
    one, two = first[known] - first[known].mean(), second[known] - second[known].mean()
    size = np.sqrt((one @ one) * (two @ two))
    return bool(size > 0 and abs(one @ two) >= SAME * size and _varied(first[known]))


def _varied(values: Floats) -> bool:
    """Whether more than a few rows differ from the most frequent value: else one outlier makes a straight line."""
    _, counts = np.unique(values, return_counts=True)
    return bool(values.size - counts.max() >= RARE)


def _same_groups(first: Floats, second: Floats) -> bool:
    one, two = (np.unique(np.nan_to_num(each, nan=-1.0), return_inverse=True)[1] for each in (first, second))
    sizes = np.bincount(one)
    together = np.unique(one * (two.max() + 1) + two).size
    return sizes.size > 1 and together == sizes.size == np.bincount(two).size and _varied(one.astype(np.float64))


def _finding(first: str, second: str, rows: int) -> Finding:
    return Finding(
        f"duplicate:{first}~{second}",
        Severity.WARNING,
        f"{first} and {second} say the same in all {rows:,} rows: each follows from the other.",
        "Keep one of them as a feature; ask whether an export wrote one column into the other.",
        {"rows": float(rows)},
    )
