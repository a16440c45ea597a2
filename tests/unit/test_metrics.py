"""The figures, against scikit-learn and against the definition written out."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from training.metrics import best_threshold, calibration_error, confusion, interval, measure, resampled, row_log_loss

GENERATOR = np.random.default_rng(3)
PROBABILITIES = np.round(GENERATOR.beta(2, 4, 400), 2)  # rounded: with ties
LABELS = (GENERATOR.random(400) < PROBABILITIES).astype(np.int64)


def test_every_figure_is_scikit_learns() -> None:
    figures = measure(LABELS, PROBABILITIES, 0.3)
    yes = PROBABILITIES >= 0.3
    assert figures["auc"] == oracle.roc_auc_score(LABELS, PROBABILITIES)
    assert figures["average_precision"] == oracle.average_precision_score(LABELS, PROBABILITIES)
    assert figures["log_loss"] == pytest.approx(oracle.log_loss(LABELS, PROBABILITIES), rel=1e-12)
    assert figures["brier"] == pytest.approx(oracle.brier_score_loss(LABELS, PROBABILITIES), rel=1e-12)
    assert figures["f1_at_threshold"] == oracle.f1_score(LABELS, yes)
    assert figures["precision_at_threshold"] == oracle.precision_score(LABELS, yes)
    assert figures["recall_at_half"] == oracle.recall_score(LABELS, PROBABILITIES >= 0.5)
    assert figures["accuracy_at_half"] == oracle.accuracy_score(LABELS, PROBABILITIES >= 0.5)


def test_a_certain_and_wrong_probability_has_a_finite_loss() -> None:
    assert np.isfinite(row_log_loss(np.array([0, 1]), np.array([1.0, 0.0]))).all()


def test_the_calibration_error_is_the_mean_gap_of_the_tenths() -> None:
    probabilities = np.repeat(np.linspace(0.05, 0.95, 10), 20)
    labels = np.concatenate([np.arange(20) < round(20 * p) for p in np.linspace(0.05, 0.95, 10)]).astype(np.int64)
    assert calibration_error(labels, probabilities) == pytest.approx(0.0, abs=1e-12)
    assert calibration_error(labels, probabilities - 0.05) == pytest.approx(0.05)


def test_no_other_threshold_gives_a_greater_f1() -> None:
    chosen = oracle.f1_score(LABELS, best_threshold(LABELS, PROBABILITIES) <= PROBABILITIES)
    assert chosen == max(oracle.f1_score(LABELS, each <= PROBABILITIES) for each in np.unique(PROBABILITIES))


def test_the_threshold_exists_where_no_threshold_is_any_good() -> None:
    assert best_threshold(np.array([0, 1]), np.array([0.4, 0.4])) == 0.4


def test_resampled_figures_are_those_of_the_rows_that_were_drawn() -> None:
    labels, probabilities = LABELS[:60], PROBABILITIES[:60]
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    generator = np.random.default_rng(11)
    wins = generator.integers(positive.size, size=(7, positive.size))
    times = generator.integers(negative.size, size=(7, negative.size))
    figures = resampled(labels, probabilities, seed=11, resamples=7)
    for i in range(7):
        rows = np.concatenate([positive[wins[i]], negative[times[i]]])
        assert figures["auc"][i] == pytest.approx(oracle.roc_auc_score(labels[rows], probabilities[rows]), abs=1e-12)
        assert figures["log_loss"][i] == pytest.approx(oracle.log_loss(labels[rows], probabilities[rows]), abs=1e-12)
        assert figures["brier"][i] == pytest.approx(((labels[rows] - probabilities[rows]) ** 2).mean(), abs=1e-12)


def test_two_models_on_the_same_rows_are_paired() -> None:
    other = np.clip(PROBABILITIES + 1e-9, 0, 1)  # the same ranking, and so the same AUC of every resample
    first, second = (resampled(LABELS, each, seed=5)["auc"] for each in (PROBABILITIES, other))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, resampled(LABELS, PROBABILITIES, seed=6)["auc"])


def test_the_interval_is_about_as_wide_as_the_textbooks() -> None:
    """Hanley and McNeil's standard error of an AUC (Radiology 143, 1982)."""
    auc = oracle.roc_auc_score(LABELS, PROBABILITIES)
    positives, negatives = int(LABELS.sum()), int((1 - LABELS).sum())
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    low, high = interval(resampled(LABELS, PROBABILITIES, seed=1)["auc"])
    assert low < auc < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(variance / (positives * negatives)), rel=0.15)


def test_the_confusion_matrix_has_a_row_for_each_true_class() -> None:
    labels, positive = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([False, True, True, False, True, True, True])
    assert confusion(labels, positive).tolist() == [[1, 2], [1, 3]]
    assert confusion(np.array([1]), np.array([False])).tolist() == [[0, 0], [1, 0]]
