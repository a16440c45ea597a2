"""The criteria of promotion that compare figures, on probabilities made for the purpose."""

import numpy as np
import pytest

from asof.use_case import GateBounds
from benchmarks.false_promotions.binary import BINARY
from benchmarks.false_promotions.measure import promotions
from training.metrics.classification import Floats
from training.targets.binary_criteria import ENOUGH_ROWS, comparison_criteria
from training.targets.rules import Contest, Criterion

LABELS = np.array([0, 1] * 200, dtype=np.int64)
NOISE = np.random.default_rng(0).random(400)
CONSTANT, CHANCE = "log loss below a constant model's", "AUC above chance"
BETTER, NO_WORSE = "AUC above the version in Production", "log loss no worse than in Production"
CALIBRATED = "calibration within bounds"


def scores(signal: float) -> Floats:
    """Probabilities between 0 and 1 that follow the labels as far as `signal` (0 to 1) goes."""
    return signal * LABELS + (1 - signal) * NOISE


def criteria(challenger: Floats, champion: Floats | None = None, **bounds: float) -> dict[str, Criterion]:
    contest = Contest(LABELS, challenger, champion, constant=0.5, seed=0)
    return {criterion.name: criterion for criterion in comparison_criteria(contest, GateBounds(**bounds))}


def verdict(challenger: Floats, champion: Floats | None = None, **bounds: float) -> dict[str, bool]:
    return {name: each.passed for name, each in criteria(challenger, champion, **bounds).items() if name != CALIBRATED}


def test_a_first_version_that_knows_something_passes() -> None:
    assert verdict(scores(0.3)) == {CONSTANT: True, CHANCE: True}


def test_a_first_version_that_guesses_fails_both() -> None:
    assert set(verdict(scores(0.0)).values()) == {False}


def test_a_first_version_that_ranks_well_with_wild_probabilities_fails_on_log_loss() -> None:
    wild = np.where(scores(0.3) > 0.5, 1.0, 0.0)
    assert verdict(wild) == {CONSTANT: False, CHANCE: True}


def test_a_later_version_must_be_better_and_not_as_good() -> None:
    assert verdict(scores(0.3), scores(0.2)) == {BETTER: True, NO_WORSE: True}
    assert verdict(scores(0.2), scores(0.2)) == {BETTER: False, NO_WORSE: True}
    assert verdict(scores(0.2), scores(0.3)) == {BETTER: False, NO_WORSE: False}


def test_a_difference_that_chance_could_make_is_none() -> None:
    """Better on these rows, but the interval of the difference reaches below zero."""
    other = np.clip(scores(0.2) + np.random.default_rng(1).normal(0, 0.02, LABELS.size), 0.0, 1.0)
    ahead, behind = sorted((scores(0.2), other), key=lambda each: -criteria(each, other)[BETTER].figures["challenger"])
    found = criteria(ahead, behind)[BETTER]
    assert found.figures["challenger"] > found.figures["champion"]
    assert found.figures["difference_low"] < 0
    assert not found.passed


def test_the_margin_of_the_auc_decides_at_the_lower_end() -> None:
    low = criteria(scores(0.3), scores(0.2))[BETTER].figures["difference_low"]
    assert verdict(scores(0.3), scores(0.2), auc_margin=low - 1e-6)[BETTER]
    assert not verdict(scores(0.3), scores(0.2), auc_margin=low)[BETTER]
    assert low < criteria(scores(0.3), scores(0.2))[BETTER].figures["difference_high"]


def test_the_margin_of_the_log_loss_decides_at_the_upper_end() -> None:
    """The order of users is better, the probabilities are worse: squeezed towards the middle."""
    squeezed = 0.5 + (scores(0.3) - 0.5) * 0.3
    found = criteria(squeezed, scores(0.28))
    high = found[NO_WORSE].figures["difference_high"]
    assert found[BETTER].figures["challenger"] > found[BETTER].figures["champion"]
    assert verdict(squeezed, scores(0.28), log_loss_margin=high + 1e-6)[NO_WORSE]
    assert not verdict(squeezed, scores(0.28), log_loss_margin=high)[NO_WORSE]


def drawn(probabilities: Floats, seed: int) -> Contest:
    labels = (np.random.default_rng(seed).random(probabilities.size) < probabilities).astype(np.int64)
    return Contest(labels, probabilities, None, constant=0.5, seed=0)


@pytest.mark.parametrize("rows", [170, 1750])
def test_a_calibrated_model_is_not_refused_for_the_noise_of_few_rows(rows: int) -> None:
    probabilities = np.random.default_rng(1).beta(2, 4, rows)
    passed = [comparison_criteria(drawn(probabilities, seed), GateBounds())[-1].passed for seed in range(40)]
    assert sum(passed) >= 36  # 97.5 % of 40 is 39


def test_a_model_that_says_too_much_is_refused_and_the_bound_decides() -> None:
    probabilities = np.random.default_rng(1).beta(2, 4, 1750)
    contest = drawn(probabilities, seed=0)
    wild = Contest(contest.labels, np.clip(probabilities + 0.15, 0, 1), None, constant=0.5, seed=0)
    found = comparison_criteria(wild, GateBounds())[-1]
    assert (found.name, found.passed) == (CALIBRATED, False)
    assert found.figures["error"] == pytest.approx(0.15, abs=0.04)
    assert comparison_criteria(wild, GateBounds(calibration_error=found.figures["error"]))[-1].passed


def test_of_two_equally_good_models_one_replaces_the_other_in_one_of_forty_draws_or_less() -> None:
    """Both know the same half of the truth, each with a noise of its own: 400 rows, 60 draws."""
    promoted = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        truth = generator.normal(0, 1, 400)
        labels = (generator.random(400) < 1 / (1 + np.exp(-truth))).astype(np.int64)
        ours, theirs = (1 / (1 + np.exp(-0.5 * (truth + generator.normal(0, 1, 400)))) for _ in range(2))
        found = comparison_criteria(Contest(labels, ours, theirs, constant=0.5, seed=seed), GateBounds())
        promoted += all(each.passed for each in found)
    assert promoted <= 5  # 1.5 are expected, and more than 5 by chance once in two hundred times


def test_each_criterion_tells_its_figures() -> None:
    found = criteria(scores(0.3), scores(0.1))[BETTER]
    assert found.figures["challenger"] > found.figures["champion"]
    assert f"{found.figures['challenger']:.4f}" in found.reason


DRAWS = 60
MIN_ROWS_PER_CLASS = GateBounds.min_rows_per_class


@pytest.mark.parametrize("design", BINARY.no_better)
@pytest.mark.parametrize("size", [(605, 15), (605, 575), (60, 30)])
def test_what_is_no_better_passes_in_one_of_forty_draws_or_less(design: str, size: tuple[int, int]) -> None:
    """Of 60 draws 1.5 are expected, more than 5 come by chance once in two hundred times."""
    assert promotions(BINARY, BINARY.no_better[design], size, draws=DRAWS) <= 5


@pytest.mark.parametrize(
    ("positives", "negatives"), [(MIN_ROWS_PER_CLASS - 1, 600), (600, MIN_ROWS_PER_CLASS - 1), (0, 40), (40, 0), (0, 0)]
)
@pytest.mark.parametrize("against", ["nothing", "champion"])
def test_a_comparison_takes_so_many_rows_of_each_class(positives: int, negatives: int, against: str) -> None:
    labels = np.repeat([1, 0], [positives, negatives])
    perfect = np.clip(labels.astype(np.float64), 0.01, 0.99)
    champion = np.full(labels.size, 0.5) if against == "champion" else None
    (found,) = comparison_criteria(Contest(labels, perfect, champion, constant=0.5, seed=0), GateBounds())
    assert (found.name, found.passed) == (ENOUGH_ROWS, False)
    assert (
        f"{positives} positives and {negatives} negatives are held out, at least {MIN_ROWS_PER_CLASS} of each"
        in found.reason
    )


@pytest.mark.parametrize("positives", [MIN_ROWS_PER_CLASS, 600])
def test_a_good_model_passes_with_the_fewest_rows_of_a_class(positives: int) -> None:
    labels = np.repeat([1, 0], [positives, 600 + MIN_ROWS_PER_CLASS - positives])
    generator = np.random.default_rng(0)
    base = float(labels.mean())
    logit = np.log(base / (1 - base)) + 2.5 * (labels - 0.5) + generator.normal(0, 1, labels.size)
    good, weak = (1 / (1 + np.exp(-each)) for each in (logit, generator.permutation(logit)))
    for champion in (None, weak):
        assert all(
            each.passed for each in comparison_criteria(Contest(labels, good, champion, base, seed=0), GateBounds())
        )


@pytest.mark.parametrize("value", [0.1, 0.5])
def test_a_constant_model_is_never_better(value: float) -> None:
    labels = np.repeat([1, 0], [40, 360])
    same = np.full(labels.size, value)
    for champion in (None, same, np.linspace(0, 1, labels.size)):
        assert not all(
            each.passed for each in comparison_criteria(Contest(labels, same, champion, 0.1, seed=0), GateBounds())
        )
