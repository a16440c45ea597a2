"""How often the gate promotes a model that is not better, by held-out rows and positives; 2.5 % are expected."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from asof.use_case import GateBounds
from training.metrics.classification import Floats, Labels
from training.targets.binary_criteria import comparison_criteria
from training.targets.rules import Contest

DRAWS = 400
SIZES = ((605, 2), (605, 8), (605, 15), (605, 30), (605, 590), (60, 30), (7043, 30))
"""Rows, and the positives among them."""
Scores = tuple[Floats, Floats | None]


def _noise(labels: Labels, generator: np.random.Generator) -> Scores:
    """Features independent of the label, and no model in Production."""
    return generator.normal(0, 0.3, labels.size), None


def _tied(labels: Labels, generator: np.random.Generator) -> Scores:
    """The same from a tree of two leaves."""
    return np.where(generator.random(labels.size) < 0.1, 0.5, 0.0), None


def _noise_for_noise(labels: Labels, generator: np.random.Generator) -> Scores:
    one, other = generator.normal(0, 0.3, (2, labels.size))
    return one, other


def _noise_for_constant(labels: Labels, generator: np.random.Generator) -> Scores:
    return generator.normal(0, 0.3, labels.size), np.zeros(labels.size)


def _equally_good(labels: Labels, generator: np.random.Generator) -> Scores:
    """The same information in both, each with noise of its own."""
    truth = generator.normal(0, 1, labels.size) + labels
    one, other = 0.5 * (truth + generator.normal(0, 1, (2, labels.size)) - 0.5)
    return one, other


def _constant_for_tied(labels: Labels, generator: np.random.Generator) -> Scores:
    """The tree of two leaves is in Production; by chance all rows of a rare class are in one of them."""
    return np.zeros(labels.size), np.where(generator.random(labels.size) < 0.1, 0.5, 0.0)


DESIGNS: Mapping[str, Callable[[Labels, np.random.Generator], Scores]] = {
    "noise, the first version": _noise,
    "noise of two values, the first version": _tied,
    "noise for noise": _noise_for_noise,
    "noise for a constant": _noise_for_constant,
    "a constant for noise of two values": _constant_for_tied,
    "as good as in Production": _equally_good,
}
"""From labels to the log odds of challenger and champion, relative to the base rate."""


def passed_by_noise(design: str, rows: int, positives: int, *, draws: int = DRAWS) -> int:
    """The number of draws in which every criterion is met; seeded."""
    labels = np.repeat([1, 0], [positives, rows - positives])
    base = positives / rows
    contests = (_contest(design, labels, base, seed) for seed in range(draws))
    return sum(all(each.passed for each in comparison_criteria(contest, GateBounds())) for contest in contests)


def measure_false_promotions() -> Iterator[Mapping[str, Any]]:
    """One row for each size: promotions of DRAWS for each design."""
    for rows, positives in SIZES:
        counts = {design: passed_by_noise(design, rows, positives) for design in DESIGNS}
        yield {"rows": rows, "positives": positives, "draws": DRAWS, "expected": DRAWS // 40} | counts


def _contest(design: str, labels: Labels, base: float, seed: int) -> Contest:
    ours, theirs = DESIGNS[design](labels, np.random.default_rng(seed))
    champion = None if theirs is None else _probabilities(theirs, base)
    return Contest(labels, _probabilities(ours, base), champion, constant=base, seed=seed)


def _probabilities(log_odds: Floats, base: float) -> Floats:
    return np.asarray(1 / (1 + (1 - base) / base * np.exp(-log_odds)), dtype=np.float64)
