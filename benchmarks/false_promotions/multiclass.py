"""Designs of several classes: scores of challenger and champion, relative to the classes' shares."""

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from asof.use_case import GateBounds
from benchmarks.false_promotions.design import LIGHTER, Design, Family, root, softmax
from training.metrics.classification import Floats, Labels
from training.metrics.multiclass import macro_auc, row_log_loss
from training.targets.multiclass_criteria import rules_for
from training.targets.rules import Contest

SIZES = ((1, 50, 50), (5, 20, 20), (15, 15, 15), (15, 20, 25), (15, 100, 300), (50, 50, 50), (15,) * 8)
EQUIVALENCE_MARGIN = 0.03
Scores = tuple[Floats, Floats | None]
Draw = Callable[[Labels, int, np.random.Generator], Scores]
LARGE = 60_000


def _noise(labels: Labels, classes: int, generator: np.random.Generator) -> Floats:
    return generator.normal(0, 0.3, (labels.size, classes))


def _leaves(labels: Labels, classes: int, generator: np.random.Generator) -> Floats:
    """Noise of a tree with two leaves; by chance all rows of a rare class are in one of them."""
    leaf = (generator.random(labels.size) < 0.1) * 0.5
    return np.outer(leaf, np.eye(classes)[0])


def _zero(labels: Labels, classes: int) -> Floats:
    return np.zeros((labels.size, classes))


def _facts(labels: Labels, classes: int, generator: np.random.Generator) -> Floats:
    """A calibrated score of each class, with as much noise as signal."""
    return generator.normal(0, 1, (labels.size, classes)) + np.eye(classes)[labels]


def _equally_good(labels: Labels, classes: int, generator: np.random.Generator) -> Scores:
    truth, shape = _facts(labels, classes, generator), (labels.size, classes)
    one, other = (0.5 * (truth + generator.normal(0, 1, shape)) for _ in range(2))
    return one, other


def _better(labels: Labels, classes: int, generator: np.random.Generator, sureness: float = 1.0) -> Scores:
    """Two facts about each row and class, and only one of them in the champion."""
    one, other = (_facts(labels, classes, generator) for _ in range(2))
    return sureness * (one + other), one


def _too_sure(labels: Labels, classes: int, generator: np.random.Generator) -> Scores:
    """Orders better, and its log loss is worse by exactly the margin."""
    return _better(labels, classes, generator, _sureness(_counts(labels)))


def _blurred(labels: Labels, classes: int, generator: np.random.Generator, blur: float) -> Scores:
    """What the champion knows with noise on top, calibrated."""
    truth = _facts(labels, classes, generator)
    return (truth + blur * generator.normal(0, 1, truth.shape)) / (1 + blur**2), truth


def _counts(labels: Labels) -> tuple[int, ...]:
    return tuple(np.bincount(labels).tolist())


def _contest(draw: Draw, size: tuple[int, ...], seed: int, lighter: str = "") -> Contest:
    labels, base = np.repeat(np.arange(len(size)), size), np.array(size) / sum(size)
    ours, theirs = draw(labels, len(size), np.random.default_rng(seed))
    champion = None if theirs is None else softmax(np.log(base) + theirs)
    return Contest(labels, softmax(np.log(base) + ours), champion, constant=base, seed=seed, lighter=lighter)


def _large(counts: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(round(LARGE * count / sum(counts)) for count in counts)


@cache
def _sureness(counts: tuple[int, ...]) -> float:
    """The factor of the scores with which the log loss of `_better` is worse by the margin."""

    def excess(factor: float) -> float:
        each = _contest(partial(_better, sureness=factor), _large(counts), 7)
        gained = row_log_loss(each.labels, each.challenger) - row_log_loss(each.labels, each.champion_or_constant)
        return float(gained.mean()) - GateBounds().log_loss_margin

    return root(excess, 1.0, 30.0)


@cache
def _blur(counts: tuple[int, ...]) -> float:
    """The noise that lowers the macro AUC of `_blurred` by the margin of equivalence."""

    def excess(blur: float) -> float:
        each = _contest(partial(_blurred, blur=blur), _large(counts), 7)
        lost = macro_auc(each.labels, each.champion_or_constant) - macro_auc(each.labels, each.challenger)
        return lost - EQUIVALENCE_MARGIN

    return root(excess, 0.05, 3.0)


def _design(draw: Draw, *, margin: float | None = None) -> Design:
    lighter = LIGHTER if margin else ""
    return Design(partial(_contest, draw, lighter=lighter), GateBounds(equivalence_margin=margin))


MULTICLASS = Family(
    "Multiclass (rows of each class)",
    SIZES,
    {
        "noise, first version": _design(lambda *drawn: (_noise(*drawn), None)),
        "noise of two values, first version": _design(lambda *drawn: (_leaves(*drawn), None)),
        "noise for noise": _design(lambda *drawn: (_noise(*drawn), _noise(*drawn))),
        "noise for a constant": _design(lambda *drawn: (_noise(*drawn), _zero(*drawn[:2]))),
        "a constant for noise of two values": _design(lambda *drawn: (_zero(*drawn[:2]), _leaves(*drawn))),
        "as good as in Production": _design(_equally_good),
        "log loss worse by the margin": _design(_too_sure),
        "worse by the margin of equivalence": _design(
            lambda labels, classes, each: _blurred(labels, classes, each, _blur(_counts(labels))),
            margin=EQUIVALENCE_MARGIN,
        ),
    },
    {
        "good first version": _design(lambda *drawn: (_facts(*drawn), None)),
        "better than Production": _design(_better),
    },
    _design(partial(_blurred, blur=0.1), margin=EQUIVALENCE_MARGIN),
    rules_for,
    lambda size: min(size) >= GateBounds().min_rows_per_class,
)
