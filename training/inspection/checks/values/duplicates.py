"""A month -> pairs of feature columns with the same information."""

from itertools import combinations

import numpy as np

from asof.extracts.schema import Kind
from training.inspection.finding import Finding, Severity
from training.inspection.month import Month
from training.metrics.classification import Floats

MAX_LEVELS = 50
MIN_ROWS = 30
MIN_VARIED_ROWS = 5
"""Rows that differ from the most frequent value; with fewer, two flags may agree by chance."""
FIRST_ROWS = 1_000
"""Rows that are compared first: most pairs differ within them."""
SAME_CORRELATION = 1 - 1e-9
"""Two number columns with this correlation are equal up to unit and origin."""


def duplicated_columns(month: Month) -> list[Finding]:
    """`duplicate:` two number columns on one straight line, or two columns of few values with the same partition."""
    numbers = {name: month.numbers(name) for name in month.features(Kind.INTEGER, Kind.NUMBER, Kind.DATE)}
    groups = {name: month.numbers(name) for name in month.features(Kind.TEXT, Kind.BOOLEAN)}
    groups = {name: values for name, values in groups.items() if len(month.levels(name)) <= MAX_LEVELS}
    pairs = [pair for pair in combinations(numbers, 2) if _on_a_line(numbers[pair[0]], numbers[pair[1]])]
    pairs += [pair for pair in combinations(groups, 2) if _same_groups(groups[pair[0]], groups[pair[1]])]
    return [_finding(first, second, len(month.frame)) for first, second in pairs]


def _on_a_line(first: Floats, second: Floats) -> bool:
    known = ~np.isnan(first)
    if not np.array_equal(known, ~np.isnan(second)) or known.sum() < MIN_ROWS:
        return False
    one, two = first[known], second[known]
    return _correlated(one[:FIRST_ROWS], two[:FIRST_ROWS]) is not False and bool(_correlated(one, two)) and _varied(one)


def _correlated(first: Floats, second: Floats) -> bool | None:
    """Whether the rows lie on a straight line; None where a column is constant."""
    one, two = first - first.mean(), second - second.mean()
    size = np.sqrt((one @ one) * (two @ two))
    return bool(abs(one @ two) >= SAME_CORRELATION * size) if size > 0 else None


def _varied(values: Floats) -> bool:
    """Whether enough rows differ from the most frequent value: a single outlier would make a straight line."""
    _, counts = np.unique(values, return_counts=True)
    return bool(values.size - counts.max() >= MIN_VARIED_ROWS)


def _same_groups(first: Floats, second: Floats) -> bool:
    one, two = (np.nan_to_num(each, nan=-1.0).astype(np.int64) + 1 for each in (first, second))
    sizes = [np.bincount(codes) for codes in (one, two, one * (two.max(initial=0) + 1) + two)]
    groups = {int(np.count_nonzero(each)) for each in sizes}
    return len(groups) == 1 and groups.pop() > 1 and bool(one.size - sizes[0].max() >= MIN_VARIED_ROWS)


def _finding(first: str, second: str, rows: int) -> Finding:
    return Finding(
        f"duplicate:{first}~{second}",
        Severity.WARNING,
        f"{first} and {second} hold the same information in all {rows:,} rows: each follows from the other.",
        "Keep one of them as a feature; ask whether an export wrote one column into the other.",
        {"rows": float(rows)},
    )
