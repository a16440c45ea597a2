"""The gate's criteria for several classes and for numbers: who is promoted, who is not, when nothing is compared."""

import numpy as np
import pytest

from asof.targets import Multiclass, Regression
from asof.use_case import GateBounds
from training.metrics.classification import Floats
from training.targets import rules_of
from training.targets.rules import Contest, Criterion

CLASSES = ("low", "middle", "high")
LEVELS, HOURS = rules_of(Multiclass(CLASSES)), rules_of(Regression("hours"))
BOUNDS = GateBounds()


def drawn(rows: int, seed: int, sharpness: float = 2.0) -> tuple[Floats, Floats, Floats]:
    """Codes, the true probabilities, and those of a model that knows less."""
    generator = np.random.default_rng(seed)
    score = generator.normal(0, sharpness, (rows, 3))
    blurred = score + generator.normal(0, 2 * sharpness, (rows, 3))
    true, less = (np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in (score, blurred / 6))
    labels = (generator.random(rows)[:, None] >= true.cumsum(axis=1)[:, :2]).sum(axis=1)
    return labels, true, less


def failed(criteria: tuple[Criterion, ...]) -> list[str]:
    return [each.name for each in criteria if not each.passed]


def judged(labels: Floats, ours: Floats, theirs: Floats | None = None) -> list[str]:
    constant = LEVELS.constant(labels)
    return failed(LEVELS.criteria(Contest(labels, ours, theirs, constant, seed=0), BOUNDS))


def test_a_good_first_model_of_several_classes_passes_and_a_constant_one_does_not() -> None:
    labels, true, _ = drawn(400, 1)
    assert judged(labels, true) == []
    constant = np.broadcast_to(LEVELS.constant(labels), true.shape)
    assert judged(labels, constant) == ["log loss below a constant model's", "macro AUC above chance"]


def test_a_better_model_replaces_the_champion_and_the_same_or_a_worse_one_does_not() -> None:
    labels, true, less = drawn(400, 2)
    assert judged(labels, true, less) == []
    assert judged(labels, true, true) == ["macro AUC above the version in Production"]
    assert judged(labels, less, true)[:2] == [
        "macro AUC above the version in Production",
        "log loss no worse than in Production",
    ]


def test_a_model_that_is_too_sure_is_not_promoted() -> None:
    labels, true, _ = drawn(1500, 3, sharpness=1.0)
    sure = true**5 / (true**5).sum(axis=1, keepdims=True)
    assert "calibration within bounds" in judged(labels, sure)


def test_noise_is_promoted_as_rarely_as_the_level_allows() -> None:
    promoted = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        labels = np.repeat([0, 1, 2], [40, 30, 20])
        noise = generator.dirichlet([40, 30, 20], 90)
        promoted += not judged(labels, noise)
    assert promoted <= 4


@pytest.mark.parametrize("lost", [0, 2])
def test_nothing_is_compared_where_a_class_has_too_few_rows_or_none(lost: int) -> None:
    labels, true, _ = drawn(400, 4)
    kept = np.flatnonzero(labels != lost)
    (only,) = LEVELS.criteria(Contest(labels[kept], true[kept], None, LEVELS.constant(labels), seed=0), BOUNDS)
    assert (only.name, only.passed) == ("enough held-out rows of every class", False)
    assert f"0 {CLASSES[lost]}" in only.reason


def of_numbers(labels: Floats, ours: Floats, theirs: Floats | None = None, margin: float = 0.0) -> list[str]:
    constant = HOURS.constant(labels)
    return failed(HOURS.criteria(Contest(labels, ours, theirs, constant, seed=0), GateBounds(error_margin=margin)))


def test_a_model_of_a_number_must_have_a_smaller_error_than_the_median() -> None:
    generator = np.random.default_rng(5)
    labels = generator.gamma(2, 10, 200)
    assert of_numbers(labels, labels + generator.normal(0, 5, 200)) == []
    assert of_numbers(labels, np.full(200, np.median(labels))) == ["mean absolute error below a constant model's"]
    assert of_numbers(labels, np.full(200, labels.mean())) == ["mean absolute error below a constant model's"]


def test_a_number_must_be_better_than_productions_by_the_margin() -> None:
    generator = np.random.default_rng(6)
    labels = generator.gamma(2, 10, 300)
    close, far = (labels + generator.normal(0, spread, 300) for spread in (3, 8))
    worse = "mean absolute error below the version in Production's"
    assert of_numbers(labels, close, far) == []
    assert of_numbers(labels, close, far, margin=20.0) == [worse]
    assert of_numbers(labels, far, close) == of_numbers(labels, close, close) == [worse]


def test_equally_good_numbers_replace_each_other_as_rarely_as_the_level_allows() -> None:
    promoted = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        labels = generator.exponential(10, 60)
        ours, theirs = labels + generator.normal(0, 4, (2, 60)) * labels / 10
        promoted += not of_numbers(labels, ours, theirs)
    assert promoted <= 4


def test_few_numbers_are_not_compared() -> None:
    labels = np.arange(29.0)
    (only,) = HOURS.criteria(Contest(labels, labels, None, 14.0, seed=0), BOUNDS)
    assert (only.name, only.passed) == ("enough held-out rows", False)
