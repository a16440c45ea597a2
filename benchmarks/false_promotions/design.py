"""Design: how the predictions of one contest are drawn; and what the designs of all targets share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asof.use_case import GateBounds
from training.metrics.classification import Floats
from training.targets.rules import Contest, Criterion

LIGHTER = "compiled, which the version in Production is not"


@dataclass(frozen=True)
class Design:
    """`draw(size, seed)` gives a contest of held-out rows, to be judged by `bounds`.

    `size` is (rows, positives), the rows of each class, or (rows,).
    """

    draw: Callable[[Any, int], Contest]
    bounds: GateBounds = field(default_factory=GateBounds)


@dataclass(frozen=True)
class Family:
    """The designs of one target: `no_better` must not be promoted, `better` should, `equivalent` where it is asked for.

    `rules(contest)` are the criteria that compare metrics, `enough(size)` whether the minimum admits a decision.
    """

    target: str
    sizes: Sequence[tuple[int, ...]]
    no_better: Mapping[str, Design]
    better: Mapping[str, Design]
    equivalent: Design
    rules: Callable[[Contest], Sequence[Callable[[Contest, GateBounds], Criterion]]]
    enough: Callable[[tuple[int, ...]], bool]


def softmax(scores: Floats) -> Floats:
    """Probabilities of scores, shape (rows, classes)."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where an increasing or decreasing function is zero."""
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-4))
