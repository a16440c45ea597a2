"""Designs of two classes: log odds of challenger and champion, relative to the base rate."""

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from asof.use_case import GateBounds
from benchmarks.false_promotions.design import LIGHTER, Design, Family, root
from training.metrics.classification import Floats, Labels, row_log_loss
from training.targets.binary_criteria import rules_for
from training.targets.rules import Contest

SIZES = (
    *((30, 5), (30, 15), (60, 30), (605, 1), (605, 5), (605, 15), (605, 30), (605, 100), (605, 590)),
    *((5000, 15), (5000, 100)),
)
EQUIVALENCE_MARGIN = 0.03
Scores = tuple[Floats, Floats | None]
Draw = Callable[[Labels, np.random.Generator], Scores]


def _noise(labels: Labels, generator: np.random.Generator) -> Scores:
    """Features independent of the label, and no model in Production."""
    return generator.normal(0, 0.3, labels.size), None


def _leaves(labels: Labels, generator: np.random.Generator) -> Floats:
    """Noise of a tree with two leaves; by chance all rows of a rare class are in one of them."""
    return np.where(generator.random(labels.size) < 0.1, 0.5, 0.0)


def _noise_for_noise(labels: Labels, generator: np.random.Generator) -> Scores:
    one, other = generator.normal(0, 0.3, (2, labels.size))
    return one, other


def _equally_good(labels: Labels, generator: np.random.Generator) -> Scores:
    """The same information in both, each with noise of its own."""
    truth = generator.normal(0, 1, labels.size) + labels
    one, other = 0.5 * (truth + generator.normal(0, 1, (2, labels.size)) - 0.5)
    return one, other


def _better(labels: Labels, generator: np.random.Generator, sureness: float = 1.0) -> tuple[Floats, Floats]:
    """Two facts about each row, and only one of them in the champion: AUC 0.84 and 0.76."""
    one, other = generator.normal(0, 1, (2, labels.size)) + labels - 0.5
    return sureness * (one + other), one


def _too_sure(labels: Labels, generator: np.random.Generator) -> Scores:
    """Orders better, and its log loss is worse by exactly the margin."""
    return _better(labels, generator, _sureness(float(labels.mean())))


def _good(labels: Labels, generator: np.random.Generator) -> Scores:
    return generator.normal(0, 1, labels.size) + labels - 0.5, None


def _blurred(labels: Labels, generator: np.random.Generator, blur: float) -> Scores:
    """What the champion knows with noise on top, calibrated."""
    truth = generator.normal(0, 1, labels.size) + labels - 0.5
    return (truth + blur * generator.normal(0, 1, labels.size)) / (1 + blur**2), truth


def _contest(draw: Draw, size: tuple[int, int], seed: int, lighter: str = "") -> Contest:
    (rows, positives), base = size, size[1] / size[0]
    labels = np.repeat([1, 0], [positives, rows - positives])
    ours, theirs = draw(labels, np.random.default_rng(seed))
    champion = None if theirs is None else _probabilities(theirs, base)
    return Contest(labels, _probabilities(ours, base), champion, constant=base, seed=seed, lighter=lighter)


def _probabilities(log_odds: Floats, base: float) -> Floats:
    return np.asarray(1 / (1 + (1 - base) / base * np.exp(-log_odds)), dtype=np.float64)


@cache
def _sureness(base: float) -> float:
    """The factor of the log odds with which the log loss of `_better` is worse by the margin."""
    labels = np.repeat([1, 0], 1_000_000)
    weights = np.where(labels == 1, 2 * base, 2 - 2 * base)

    def excess(factor: float) -> float:
        each = _better(labels, np.random.default_rng(7), factor)
        ours, theirs = (row_log_loss(labels, _probabilities(log_odds, base)) for log_odds in each)
        return float((weights * (ours - theirs)).mean()) - GateBounds().log_loss_margin

    return root(excess, 1.0, 30.0)


def _blur(lost: float) -> float:
    """The noise that lowers the AUC of `_blurred`, which is Phi(1 / sqrt(2)), by so much."""
    from scipy.stats import norm

    signal = np.sqrt(2) * norm.ppf(norm.cdf(np.sqrt(0.5)) - lost)
    return float(np.sqrt(1 / signal**2 - 1))


def _design(draw: Draw, *, margin: float | None = None) -> Design:
    lighter = LIGHTER if margin else ""
    return Design(partial(_contest, draw, lighter=lighter), GateBounds(equivalence_margin=margin))


BINARY = Family(
    "Binary (rows, positives)",
    SIZES,
    {
        "noise, first version": _design(_noise),
        "noise of two values, first version": _design(lambda labels, generator: (_leaves(labels, generator), None)),
        "noise for noise": _design(_noise_for_noise),
        "noise for a constant": _design(lambda labels, each: (_noise(labels, each)[0], np.zeros(labels.size))),
        "a constant for noise of two values": _design(
            lambda labels, generator: (np.zeros(labels.size), _leaves(labels, generator))
        ),
        "as good as in Production": _design(_equally_good),
        "log loss worse by the margin": _design(_too_sure),
        "worse by the margin of equivalence": _design(
            lambda labels, generator: _blurred(labels, generator, _blur(EQUIVALENCE_MARGIN)), margin=EQUIVALENCE_MARGIN
        ),
    },
    {"good first version": _design(_good), "better than Production": _design(_better)},
    _design(lambda labels, generator: _blurred(labels, generator, 0.1), margin=EQUIVALENCE_MARGIN),
    rules_for,
    lambda size: min(size[1], size[0] - size[1]) >= GateBounds().min_rows_per_class,
)
