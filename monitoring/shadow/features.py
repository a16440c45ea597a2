"""Where a challenger and the champion differ most: by feature, how much of their difference it explains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.metrics.classification import Floats
from training.metrics.statistics import BINS

MIN_BIN = 10
"""Rows of a bin that may be named as the one where they differ most."""


@dataclass(frozen=True)
class Where:
    """`explained`: the share of the variance of the difference between the bins of the feature (eta squared).

    `bin` is the one with the largest mean difference, which is `difference` over its `rows`.
    """

    feature: str
    explained: float
    bin: str
    difference: float
    rows: int


def where_they_differ(values: Mapping[str, Sequence[Any]], difference: Floats) -> list[Where]:
    """Each feature, the one that explains most first; none without a difference. `difference` is of shape (n,)."""
    if difference.size < 2 or not difference.var():
        return []
    found = [_where(name, *_binned(each), difference) for name, each in values.items()]
    return sorted(filter(None, found), key=lambda each: -each.explained)


def _where(feature: str, codes: NDArray[np.int64], names: Sequence[str], difference: Floats) -> Where | None:
    counts = np.bincount(codes, minlength=len(names))
    means = np.bincount(codes, difference, minlength=len(names)) / np.maximum(counts, 1)
    between = float((counts * (means - difference.mean()) ** 2).sum())
    large = np.where(counts >= MIN_BIN, means, -np.inf)
    most = int(large.argmax())
    if not np.isfinite(large[most]):
        return None
    return Where(
        feature, between / float(difference.var() * difference.size), names[most], means[most], int(counts[most])
    )


def _binned(values: Sequence[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """The bin of each value, and the names of the bins: categories, or deciles of numbers."""
    known = [each for each in values if each is not None]
    if (known and isinstance(known[0], str)) or len(set(known)) <= BINS:
        names = sorted(map(str, set(known)))
        place = {name: number for number, name in enumerate([*names, ""])}
        return np.array([place["" if each is None else str(each)] for each in values]), [*names, "null"]
    numbers = np.array([np.nan if each is None else each for each in values], dtype=np.float64)
    edges = np.unique(np.nanquantile(numbers, np.arange(1, BINS) / BINS))
    codes = np.where(np.isnan(numbers), edges.size + 1, np.searchsorted(edges, numbers, side="left"))
    ends = [f"{each:.4g}" for each in edges]
    names = [f"up to {ends[0]}", *(f"{low} to {high}" for low, high in pairwise(ends))]
    return codes.astype(np.int64), [*names, f"above {ends[-1]}", "null"]
