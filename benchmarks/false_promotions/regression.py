"""Designs of a number: errors of challenger and champion, with a mean absolute error of 1 and tails of several laws."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from asof.use_case import GateBounds
from benchmarks.false_promotions.design import LIGHTER, Design, Family
from training.metrics.classification import Floats
from training.targets.regression_criteria import rules_for
from training.targets.rules import Contest

SIZES = ((10,), (20,), (30,), (50,), (100,), (300,), (1000,))
EQUIVALENCE_MARGIN = 0.1
Law = Callable[[np.random.Generator, int], Floats]
Errors = tuple[Floats, Floats]
Draw = Callable[[np.random.Generator, int], Errors]
"""Errors of the challenger and of the champion."""


def _normal(generator: np.random.Generator, rows: int) -> Floats:
    return generator.normal(0, np.sqrt(np.pi / 2), rows)


def _student(generator: np.random.Generator, rows: int) -> Floats:
    """Student's t with three degrees of freedom, which has a variance and no skewness."""
    return np.asarray(generator.standard_t(3, rows) * np.pi / (2 * np.sqrt(3)))


def _lognormal(generator: np.random.Generator, rows: int) -> Floats:
    return np.asarray(np.exp(generator.normal(-0.5, 1, rows)) * generator.choice([-1, 1], rows))


LAWS: Mapping[str, Law] = {"normal": _normal, "Student's t of 3": _student, "log-normal": _lognormal}


def _equally_good(law: Law, generator: np.random.Generator, rows: int) -> Errors:
    return law(generator, rows), law(generator, rows)


def _rarely_far_off(law: Law, generator: np.random.Generator, rows: int) -> Errors:
    """As good at the mean: mostly closer, and seldom much farther off than the champion, whose errors are even."""
    return law(generator, rows), generator.uniform(0, 2, rows)


def _noise(law: Law, generator: np.random.Generator, rows: int) -> Errors:
    """Noise around the median of thrice as many other rows, for that median."""
    constant = law(generator, rows) - np.median(law(generator, 3 * rows))
    return constant + generator.normal(0, 0.3, rows), constant


def _better(law: Law, generator: np.random.Generator, rows: int) -> Errors:
    """Errors of seven tenths; both share the half of them."""
    shared, own, other = (law(generator, rows) for _ in range(3))
    return 0.7 * (shared + own), shared + other


def _blurred(generator: np.random.Generator, rows: int) -> Errors:
    champion = _normal(generator, rows)
    return champion + 0.1 * _normal(generator, rows), champion


def _contest(draw: Draw, size: tuple[int, ...], seed: int, lighter: str = "") -> Contest:
    generator, (rows,) = np.random.default_rng(seed), size
    labels = generator.gamma(2, 10, rows)
    ours, theirs = draw(generator, rows)
    return Contest(labels, labels + ours, labels + theirs, constant=0.0, seed=seed, lighter=lighter)


def _first_version(size: tuple[int, ...], seed: int) -> Contest:
    """It explains half of the variance."""
    generator, (rows,) = np.random.default_rng(seed), size
    ours = generator.normal(0, 1, rows)
    return Contest(ours + generator.normal(0, 1, rows), ours, None, constant=0.0, seed=seed)


def _design(draw: Draw, *, margin: float | None = None) -> Design:
    lighter = LIGHTER if margin else ""
    return Design(partial(_contest, draw, lighter=lighter), GateBounds(equivalence_margin=margin))


def _worse(law: Law, generator: np.random.Generator, rows: int) -> Errors:
    """Worse by the margin of equivalence at the mean."""
    return (1 + EQUIVALENCE_MARGIN) * law(generator, rows), law(generator, rows)


def _of_each_law(name: str, draw: Callable[[Law, np.random.Generator, int], Errors]) -> dict[str, Design]:
    return {f"{name}, {law}": _design(partial(draw, each)) for law, each in LAWS.items()}


REGRESSION = Family(
    "Regression (rows)",
    SIZES,
    {
        **_of_each_law("as good", _equally_good),
        **_of_each_law("as good, rarely far off", _rarely_far_off),
        **_of_each_law("noise around the median", _noise),
        "worse by the margin of equivalence": _design(partial(_worse, _normal), margin=EQUIVALENCE_MARGIN),
    },
    {
        "good first version": Design(_first_version),
        "better than Production": _design(partial(_better, _student)),
    },
    _design(_blurred, margin=EQUIVALENCE_MARGIN),
    rules_for,
    lambda size: size[0] >= GateBounds().min_rows,
)
