"""TreeSum: Shapley values of the columns of an ensemble of trees, for the expectation that depends on their paths.

The game is that of TreeSHAP (Lundberg et al., Nature Machine Intelligence 2, 2020): where a column of the coalition is
split, a row goes its own way, and elsewhere both ways, by the share of training rows (the cover). A leaf is then a
product: each column on its path has a factor, 1 or 0 for whether the row passes all its splits, or z, the product of
their shares. The Shapley value of such a product is an integral (Owen, Management Science 18, 1972):

    value * (o_i - z_i) * integral from 0 to 1 of the product over j != i of (z_j + t (o_j - z_j)) dt

The integrand is a polynomial, so Gauss and Legendre's quadrature with half as many points as columns is exact. All its
terms are positive: nothing cancels. Products are passed down the trees level by level, and sums over leaves up, so each
node is visited twice for each point instead of once for each leaf below it.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import ExplanationTooSlow

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
CHUNK = 2**16
"""Nodes times points that are computed together: larger arrays leave the processor's cache."""


@dataclass(frozen=True)
class TreeSum:
    """`start` plus the sum of the leaves that a row reaches; each array is of shape (nodes,).

    The trees follow each other, each from its root, and a child follows its parent. `left` and `right` are places of
    children (of a leaf: its own). A row goes left where its column is at most the threshold, or is NaN and
    `missing_left` is true. `feature` is the column that a split counts for: another one where the column stands for a
    split by categories. `cover` is the weight of the training rows at a node, `value` that of a leaf, else 0.
    """

    column: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    missing_left: NDArray[np.bool_]
    value: Floats
    cover: Floats
    start: float

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], start: float) -> "TreeSum":
        """From arrays of any width."""
        types = {"column": np.int64, "feature": np.int64, "left": np.int64, "right": np.int64, "missing_left": np.bool_}
        fields: Any = {name: each.astype(types.get(name, np.float64)) for name, each in arrays.items()}
        return cls(**fields, start=start)

    @cached_property
    def base(self) -> float:
        """The expected score: that of no column."""
        return self.start + sum(each.expected for each in self._chunks)

    @property
    def nodes(self) -> int:
        return int(self.left.size)

    @property
    def size(self) -> int:
        """Nodes times points: the work of one row."""
        return sum(each.column.size * each.points.size for each in self._chunks)

    def contributions(self, numbers: Floats, until: float = np.inf) -> Floats:
        """The Shapley value of each column in each row, both of shape (rows, columns).

        Raises ExplanationTooSlow at the moment `until` of the monotonic clock.
        """
        sums = np.zeros_like(numbers)
        for row, result in zip(numbers, sums, strict=True):
            for chunk in self._chunks:
                if time.monotonic() > until:
                    raise ExplanationTooSlow(
                        "The explanation takes longer than this service allows: ask without explain."
                    )
                chunk.add(row, result)
        return sums

    @cached_property
    def _chunks(self) -> "list[_Chunk]":
        return list(_chunks(self))


@dataclass(frozen=True)
class _Chunk:
    """Some of the trees, level by level; all arrays are of shape (nodes,) in that order.

    `split` is the feature of the split that leads to a node, `above` the nearest node above with the same one, or the
    root. `share` is the product of the shares of all such splits. `points` and `weights` are those of the quadrature
    from 0 to 1, shape (points,).
    """

    levels: list[slice]
    inner: list[Ints]
    column: Ints
    threshold: Floats
    missing_left: NDArray[np.bool_]
    left: Ints
    right: Ints
    value: Floats
    parent: Ints
    goes_left: NDArray[np.bool_]
    above: Ints
    share: Floats
    split: Ints
    expected: float
    points: Floats
    weights: Floats

    def add(self, row: Floats, result: Floats) -> None:
        """Adds the contributions of a row's columns, shape (columns,)."""
        passes = self._passes(row)
        gain = (passes - self.share)[:, None]
        factor = self.share[:, None] + self.points * gain
        safe = np.where(factor == 0.0, 1.0, factor)  # no training row, nor this one: all below counts nothing
        sums = self._sums(factor / safe[self.above])
        per_point = gain / safe
        changes = per_point - per_point[self.above]
        result += np.bincount(self.split, np.einsum("np,np->n", sums, changes), minlength=result.size)

    def _passes(self, row: Floats) -> Floats:
        """Whether the row passes all splits of the column that leads to a node: 1 or 0."""
        values = row[self.column]
        left = np.where(np.isnan(values), self.missing_left, values <= self.threshold)
        passes: NDArray[np.bool_] = left[self.parent] == self.goes_left
        passes[self.levels[0]] = True
        for level in self.levels[1:]:
            passes[level] &= passes[self.above[level]]
        return passes.astype(np.float64)

    def _sums(self, ratio: Floats) -> Floats:
        """The weighted products of the leaves below each node, shape (nodes, points)."""
        products: Floats = ratio
        products[self.levels[0]] = 1.0
        for level in self.levels[1:]:
            products[level] *= products[self.parent[level]]
        sums: Floats = products * self.weights * self.value[:, None]
        for inner in reversed(self.inner):
            sums[inner] = sums[self.left[inner]] + sums[self.right[inner]]
        return sums


def _chunks(trees: TreeSum) -> Iterator[_Chunk]:
    """Consecutive trees together, as many as CHUNK allows."""
    place = np.arange(trees.left.size)
    is_root = np.ones(place.size, dtype=bool)
    inner = trees.left != place
    is_root[trees.left[inner]] = is_root[trees.right[inner]] = False
    roots = np.append(np.flatnonzero(is_root), place.size)
    first, most = 0, CHUNK // 8
    for number in range(1, roots.size):
        last = number == roots.size - 1
        if last or roots[number + 1] - roots[first] > most:
            yield _chunk(trees, slice(roots[first], roots[number]))
            first = number


def _chunk(trees: TreeSum, nodes: slice) -> _Chunk:
    left, right = trees.left[nodes] - nodes.start, trees.right[nodes] - nodes.start
    place = np.arange(left.size)
    is_inner = left != place
    parent, goes_left = place.copy(), np.zeros(place.size, dtype=bool)
    parent[left[is_inner]] = parent[right[is_inner]] = place[is_inner]
    goes_left[left[is_inner]] = True
    depth = _depths(parent)
    order = np.argsort(depth, kind="stable")
    rank = np.empty_like(order)
    rank[order] = place
    ends = np.searchsorted(depth[order], np.arange(depth.max() + 2))
    levels = [slice(start, end) for start, end in pairwise(ends.tolist())]
    parent, left, right = rank[parent[order]], rank[left[order]], rank[right[order]]
    column, cover, is_inner = trees.column[nodes][order], trees.cover[nodes][order], is_inner[order]
    split = np.where(parent == place, -1, trees.feature[nodes][order][parent])
    above, share, distinct = _paths(levels, parent, split, cover)
    points, weights = np.polynomial.legendre.leggauss(max(1, (int(distinct.max()) + 1) // 2))
    value = np.where(is_inner, 0.0, trees.value[nodes][order])
    return _Chunk(
        levels=levels,
        inner=[np.flatnonzero(is_inner[level]) + level.start for level in levels],
        column=column,
        threshold=trees.threshold[nodes][order],
        missing_left=trees.missing_left[nodes][order],
        left=left,
        right=right,
        value=value,
        parent=parent,
        goes_left=goes_left[order],
        above=above,
        share=share,
        split=np.maximum(split, 0),
        expected=float((value * _reached(levels, parent, cover)).sum()),
        points=(points + 1) / 2,
        weights=weights / 2,
    )


def _depths(parent: Ints) -> Ints:
    """The depth of each node: how often its parent can be taken until that is a root."""
    depth, at = np.zeros(parent.size, dtype=np.int64), parent.copy()
    current = np.arange(parent.size)
    while (moving := at != current).any():
        depth[moving] += 1
        current, at = at, parent[at]
    return depth


def _paths(levels: list[slice], parent: Ints, split: Ints, cover: Floats) -> tuple[Ints, Floats, Ints]:
    """For each node the nearest one above whose split is of the same column (else the root), the product of the shares
    of these splits, and the number of distinct columns on its path."""
    above, share, distinct = parent.copy(), np.ones(parent.size), np.zeros(parent.size, dtype=np.int64)
    for level in levels[1:]:
        at = parent[level]
        while (other := (split[at] != split[level]) & (split[at] >= 0)).any():
            at = np.where(other, parent[at], at)
        above[level] = at
        share[level] = _shares(cover, parent, level) * share[at]
        distinct[level] = distinct[parent[level]] + (split[at] < 0)
    return above, share, distinct


def _reached(levels: list[slice], parent: Ints, cover: Floats) -> Floats:
    """The share of training rows that reach each node."""
    reached = np.ones(parent.size)
    for level in levels[1:]:
        reached[level] = reached[parent[level]] * _shares(cover, parent, level)
    return reached


def _shares(cover: Floats, parent: Ints, level: slice) -> Floats:
    """The share of a parent's training rows that reach each node; nothing of a parent that none reaches."""
    of_parent = cover[parent[level]]
    return np.divide(cover[level], of_parent, out=np.zeros(of_parent.size), where=of_parent > 0)
