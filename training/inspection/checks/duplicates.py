"""A month -> feature columns that say the same twice."""

from itertools import combinations

import numpy as np

from asof.extract_schema import Kind
from training.inspection.finding import Finding, Severity
from training.inspection.month import Month
from training.metrics.classification import Floats

MOST_LEVELS = 50
FEWEST_ROWS = 30
RARE = 5
"""Two flags may agree by chance where either is set (or not) in fewer rows than this."""
SOME = 1_000
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
    one, two = first[known], second[known]
    # Most pairs leave the line within a few rows.
    return _correlated(one[:SOME], two[:SOME]) is not False and bool(_correlated(one, two)) and _varied(one)


def _correlated(first: Floats, second: Floats) -> bool | None:
    """Whether the rows lie on a line; None where one of the columns is constant."""
    one, two = first - first.mean(), second - second.mean()
    size = np.sqrt((one @ one) * (two @ two))
    return bool(abs(one @ two) >= SAME * size) if size > 0 else None


def _varied(values: Floats) -> bool:
    """Whether more than a few rows differ from the most frequent value: else one outlier makes a straight line."""
    _, counts = np.unique(values, return_counts=True)
    return bool(values.size - counts.max() >= RARE)


def _same_groups(first: Floats, second: Floats) -> bool:
    one, two = (np.nan_to_num(each, nan=-1.0).astype(np.int64) + 1 for each in (first, second))
    sizes = [np.bincount(codes) for codes in (one, two, one * (two.max(initial=0) + 1) + two)]
    groups = {int(np.count_nonzero(each)) for each in sizes}
    return len(groups) == 1 and groups.pop() > 1 and bool(one.size - sizes[0].max() >= RARE)


def _finding(first: str, second: str, rows: int) -> Finding:
    return Finding(
        f"duplicate:{first}~{second}",
        Severity.WARNING,
        f"{first} and {second} say the same in all {rows:,} rows: each follows from the other.",
        "Keep one of them as a feature; ask whether an export wrote one column into the other.",
        {"rows": float(rows)},
    )
