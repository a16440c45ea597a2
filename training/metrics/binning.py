"""Bins of values, made from the training rows, and how many values are in each: what a later month is compared with.

Each value is in one bin, whatever it is, so counts of two samples in the same bins add up to their rows.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nextafter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.metrics.classification import Floats

Counts = NDArray[np.int64]
"""Of the bins, in order; shape (bins,)."""

PARTS = 10
MAX_LEVELS = 10
"""Numbers with so many different values at most have a bin for each."""
MAX_CATEGORIES = 50
"""Values of text with a bin of their own; of more the commonest have one."""
LEAST_ROWS = 10
"""Of the sample in a bin: one that is made for two rows because these two occur has fewer in the next sample."""
LEAST_EXPECTED = 5
CHANCE = 0.001


@dataclass(frozen=True)
class NumberBins:
    """Bins of numbers: below the first edge, from each edge to before the next, from the last edge on, and null.

    The numbers of the bins are those of PostgreSQL's `width_bucket(value, edges)`, then null, which NaN is as well. The
    first edge is the least value of the training rows, the last one the number after their greatest. With `levels`
    each edge but the last is one of a few values. Without edges there was no finite value.
    """

    edges: tuple[float, ...]
    levels: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Of the bins, in order."""
        if not self.edges:
            return ("any value", "null")
        inner = self.edges[:-1]
        greatest = nextafter(self.edges[-1], -inf)
        ends = [*(f"{edge:.6g}" for edge in inner[1:]), f"{greatest:.6g}"]
        between = [f"{low:.6g}" if self.levels else f"{low:.6g} to {end}" for low, end in zip(inner, ends, strict=True)]
        return (f"below {inner[0]:.6g}", *between, f"above {greatest:.6g}", "null")

    def codes(self, values: Floats) -> Counts:
        """The number of the bin of each value, shape (rows,)."""
        places = np.searchsorted(np.asarray(self.edges, dtype=np.float64), values, side="right")
        return np.where(np.isnan(values), len(self.edges) + 1, places).astype(np.int64)

    def count(self, values: NDArray[Any]) -> Counts:
        return np.bincount(self.codes(values), minlength=len(self.edges) + 2)


@dataclass(frozen=True)
class CategoryBins:
    """Bins of text: each of `values`, any other (all of them rare in the training rows, or unseen), and null."""

    values: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the bins, in order."""
        return (*self.values, "any other", "null")

    def codes(self, values: NDArray[np.object_]) -> Counts:
        """The number of the bin of each value, shape (rows,); None and NaN are null."""
        import pandas as pd

        places = pd.Index(self.values, dtype=object).get_indexer(pd.Index(values, dtype=object))
        others = np.where(pd.isna(values), len(self.values) + 1, len(self.values))
        return np.where(places >= 0, places, others).astype(np.int64)

    def count(self, values: NDArray[Any]) -> Counts:
        return np.bincount(self.codes(values), minlength=len(self.values) + 2)

    def tally(self, rows: Mapping[str | None, int]) -> Counts:
        """The same from the number of rows of each value."""
        counts, places = np.zeros(len(self.values) + 2, dtype=np.int64), {name: n for n, name in enumerate(self.values)}
        for value, number in rows.items():
            counts[len(self.values) + 1 if value is None else places.get(value, len(self.values))] += number
        return counts


Bins = NumberBins | CategoryBins


@dataclass(frozen=True)
class Binned:
    """Bins, and how many rows of a sample are in each."""

    bins: Bins
    counts: tuple[int, ...]

    @property
    def rows(self) -> int:
        return sum(self.counts)


def without_rare_bins(before: Counts, after: Counts, *, least_share: float = 0.0) -> Counts:
    """The counts of two samples, shape (2, bins left): rare bins of the first are added to their neighbours.

    A bin of few rows, as those below and above all values of the first sample, is left to itself only where the second
    has so many there as chance gives to one in a thousand (given the rows of both, binomially), and that share of its
    rows. Few are less than LEAST_ROWS of the first, or LEAST_EXPECTED to be expected in either: the rule of Cochran
    (Biometrics 10, 1954).
    """
    from scipy import stats

    both, share = before + after, after.sum() / max(before.sum() + after.sum(), 1)
    by_chance = stats.binom.sf(after - 1, both, share) > CHANCE
    enough = (before >= LEAST_ROWS) & (both * min(share, 1 - share) >= LEAST_EXPECTED)
    kept = np.flatnonzero(enough | ~by_chance & (after >= least_share * after.sum()))
    if not kept.size:
        return np.array([[before.sum()], [after.sum()]])
    place = np.maximum(np.searchsorted(kept, np.arange(before.size), side="right") - 1, 0)
    return np.stack([np.bincount(place, each, kept.size) for each in (before, after)]).astype(np.int64)


def binned_sample(values: NDArray[Any], *, parts: int = PARTS) -> Binned:
    """Bins made from a sample, shape (rows,), and its counts: text if the values are objects, else numbers."""
    bins = category_bins(values) if values.dtype == object else number_bins(values, parts=parts)
    return Binned(bins, tuple(bins.count(values).tolist()))


def number_bins(values: Floats, *, parts: int = PARTS) -> NumberBins:
    """Quantiles of the finite values as edges; a value that fills a part alone has a bin of its own."""
    levels, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    if not levels.size:
        return NumberBins(())
    first, below = np.zeros(levels.size, dtype=bool), np.cumsum(counts)  # whether a bin begins at a level
    heavy = counts >= below[-1] / parts
    first[np.searchsorted(below, np.arange(1, parts) / parts * below[-1])] = True
    first |= heavy | np.append(False, heavy[:-1]) | (levels.size <= MAX_LEVELS)
    edges = levels[_full_enough(first, counts)]
    return NumberBins((*edges.tolist(), nextafter(float(levels[-1]), inf)), levels=edges.size == levels.size)


def _full_enough(first: NDArray[np.bool_], counts: Counts) -> list[int]:
    """The places at which bins begin so that each has LEAST_ROWS: a bin with fewer is one with the next."""
    starts, below = [0], np.append(0, np.cumsum(counts))
    for place in np.flatnonzero(first)[np.flatnonzero(first) > 0].tolist():
        if below[place] - below[starts[-1]] >= LEAST_ROWS:
            starts.append(place)
    if len(starts) > 1 and below[-1] - below[starts[-1]] < LEAST_ROWS:
        starts.pop()
    return starts


def category_bins(values: NDArray[np.object_]) -> CategoryBins:
    """The values that have LEAST_ROWS, or the commonest of them where there are many, by name."""
    import pandas as pd

    counts = Counter(values[~pd.isna(values)].tolist())
    common = sorted((-count, name) for name, count in counts.items() if count >= LEAST_ROWS)
    return CategoryBins(tuple(sorted(name for _, name in common[:MAX_CATEGORIES])))
