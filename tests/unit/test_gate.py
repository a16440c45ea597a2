"""The criteria of promotion, on probabilities made for the purpose."""

import numpy as np

from training.contest import Contest
from training.gate import judge
from training.metrics import Floats

LABELS = np.array([0, 1] * 200, dtype=np.int64)
NOISE = np.random.default_rng(0).random(400)


def scores(signal: float) -> Floats:
    """Probabilities between 0 and 1 that follow the labels as far as `signal` (0 to 1) goes."""
    return signal * LABELS + (1 - signal) * NOISE


def verdict(challenger: Floats, champion: Floats | None = None) -> dict[str, bool]:
    contest = Contest(LABELS, challenger, champion, base_rate=0.5, seed=0)
    return {criterion.name: criterion.passed for criterion in judge(contest)}


def test_a_first_version_that_knows_something_passes() -> None:
    assert verdict(scores(0.3)) == {"log loss below a constant model's": True, "AUC above chance": True}


def test_a_first_version_that_guesses_fails_both() -> None:
    assert set(verdict(scores(0.0)).values()) == {False}


def test_a_first_version_that_ranks_well_with_wild_probabilities_fails_on_log_loss() -> None:
    wild = np.where(scores(0.3) > 0.5, 1.0, 0.0)
    assert verdict(wild) == {"log loss below a constant model's": False, "AUC above chance": True}


def test_a_later_version_must_be_better_and_not_as_good() -> None:
    assert verdict(scores(0.3), scores(0.2)) == {"AUC above the version in Production": True}
    assert verdict(scores(0.2), scores(0.2)) == {"AUC above the version in Production": False}
    assert verdict(scores(0.2), scores(0.3)) == {"AUC above the version in Production": False}


def test_each_criterion_tells_its_figures() -> None:
    (criterion,) = judge(Contest(LABELS, scores(0.3), scores(0.1), base_rate=0.5, seed=0))
    assert criterion.figures["challenger"] > criterion.figures["champion"]
    assert f"{criterion.figures['challenger']:.4f}" in criterion.reason
