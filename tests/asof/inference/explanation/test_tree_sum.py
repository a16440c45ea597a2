"""Shapley values of trees against their definition, over all subsets of the columns."""

import time
from itertools import combinations
from math import comb

import numpy as np
import pytest

from asof.errors import ExplanationTooSlow
from asof.inference.explanation import tree_sum as module
from asof.inference.explanation.tree_sum import TreeSum

COLUMNS = 6


def random_trees(draw: np.random.Generator, count: int, depth: int, *, empty: float = 0.0) -> TreeSum:
    """Trees that split by any column again and again; a share `empty` of the nodes has no training rows."""
    nodes: list[list[float]] = []  # column, threshold, left, right, missing_left, value, cover

    def grow(level: int, cover: float) -> int:
        place = len(nodes)
        nodes.append([0, 0.0, place, place, 0, draw.normal(), cover])
        if level == depth or (level and draw.random() < 0.2):
            return place
        own = cover if draw.random() < empty else cover * draw.uniform(0.05, 0.95)
        left = grow(level + 1, own)
        right = grow(level + 1, cover - own)
        nodes[place] = [draw.integers(COLUMNS), draw.normal(), left, right, draw.integers(2), 0.0, cover]
        return place

    for _ in range(count):
        grow(0, 100.0)
    names = ("column", "threshold", "left", "right", "missing_left", "value", "cover")
    arrays = dict(zip(names, np.array(nodes).T, strict=True))
    return TreeSum.of({**arrays, "feature": arrays["column"]}, start=0.5)


def expected(trees: TreeSum, row: np.ndarray, known: frozenset[int]) -> float:
    """The expectation that depends on the paths: recursively, as TreeSHAP's paper has it."""

    def below(node: int) -> float:
        left, right, column = int(trees.left[node]), int(trees.right[node]), int(trees.column[node])
        if left == node:
            return float(trees.value[node])
        if column in known:
            missing = np.isnan(row[column])
            goes_left = trees.missing_left[node] if missing else row[column] <= trees.threshold[node]
            return below(left if goes_left else right)
        if not trees.cover[node]:
            return 0.0
        return float((trees.cover[left] * below(left) + trees.cover[right] * below(right)) / trees.cover[node])

    inner = trees.left != np.arange(trees.left.size)
    roots = set(range(trees.left.size)) - {*trees.left[inner].tolist(), *trees.right[inner].tolist()}
    return trees.start + sum(map(below, roots))


def shapley(trees: TreeSum, row: np.ndarray) -> np.ndarray:
    values = np.zeros(COLUMNS)
    for column in range(COLUMNS):
        others = [each for each in range(COLUMNS) if each != column]
        for size in range(COLUMNS):
            for some in map(frozenset, combinations(others, size)):
                gain = expected(trees, row, some | {column}) - expected(trees, row, some)
                values[column] += gain / (COLUMNS * comb(COLUMNS - 1, size))
    return values


@pytest.mark.parametrize("seed", range(6))
def test_the_values_are_those_of_all_subsets(seed: int) -> None:
    draw = np.random.default_rng(seed)
    trees, rows = random_trees(draw, count=3, depth=1 + seed), draw.normal(size=(3, COLUMNS))
    rows[0, :2] = np.nan
    found = trees.contributions(rows)
    for row, own in zip(rows, found, strict=True):
        np.testing.assert_allclose(own, shapley(trees, row), atol=1e-12)
        everything = expected(trees, row, frozenset(range(COLUMNS)))
        assert trees.base + own.sum() == pytest.approx(everything, abs=1e-12)
    assert trees.base == pytest.approx(expected(trees, rows[0], frozenset()), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_a_row_may_go_where_no_training_row_went(seed: int) -> None:
    draw = np.random.default_rng(seed)
    trees, rows = random_trees(draw, count=3, depth=4, empty=0.4), draw.normal(size=(4, COLUMNS))
    for row, own in zip(rows, trees.contributions(rows), strict=True):
        assert np.isfinite(own).all()
        everything = expected(trees, row, frozenset(range(COLUMNS)))
        assert trees.base + own.sum() == pytest.approx(everything, abs=1e-12)


def test_trees_of_one_leaf_contribute_nothing() -> None:
    trees = random_trees(np.random.default_rng(0), count=3, depth=0)
    assert not trees.contributions(np.zeros((1, COLUMNS))).any()
    assert trees.base == pytest.approx(0.5 + trees.value.sum())


def test_the_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    trees, row = random_trees(np.random.default_rng(1), count=40, depth=5), np.ones((1, COLUMNS))
    whole = trees.contributions(row)
    monkeypatch.setattr(module, "CHUNK", 8)
    apart = random_trees(np.random.default_rng(1), count=40, depth=5)
    np.testing.assert_allclose(apart.contributions(row), whole, atol=1e-12)
    assert len(apart._chunks) == 40


def test_an_explanation_ends_at_its_time() -> None:
    trees = random_trees(np.random.default_rng(1), count=2, depth=2)
    with pytest.raises(ExplanationTooSlow):
        trees.contributions(np.ones((1, COLUMNS)), until=time.monotonic())


def test_a_deep_chain_of_one_column_is_exact() -> None:
    """A hundred splits of the same column are one column."""
    depth = 100
    place = np.arange(2 * depth + 1)
    inner, last = place[:-1:2], 2 * depth
    left, right = place.copy(), place.copy()
    left[inner], right[inner] = inner + 1, inner + 2
    column, threshold, value = np.zeros(last + 1), np.zeros(last + 1), np.zeros(last + 1)
    threshold[inner] = np.arange(depth)
    value[left[inner]], value[last] = np.arange(depth), depth
    cover = np.ones(last + 1)
    cover[inner] = depth + 1 - np.arange(depth)
    arrays = {"column": column, "threshold": threshold, "left": left, "right": right, "value": value, "cover": cover}
    trees = TreeSum.of({**arrays, "feature": column, "missing_left": np.zeros(last + 1)}, start=0.0)
    (found,) = trees.contributions(np.array([[41.5, 7.0]]))
    assert trees.base == pytest.approx(depth / 2)
    np.testing.assert_allclose(found, [42 - depth / 2, 0.0], atol=1e-12)
