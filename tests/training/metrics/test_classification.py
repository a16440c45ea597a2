"""The figures, against scikit-learn and against the definition written out; the intervals, by how often they miss."""

from math import inf

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from training.metrics.classification import (
    Estimate,
    auc_difference,
    auc_estimate,
    best_threshold,
    calibration_error,
    confusion,
    ends,
    mean_estimate,
    measure,
    row_log_loss,
    with_intervals,
)

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


def test_the_interval_of_an_auc_is_about_as_wide_as_the_textbooks() -> None:
    """Hanley and McNeil's standard error of an AUC (Radiology 143, 1982)."""
    auc = oracle.roc_auc_score(LABELS, PROBABILITIES)
    positives, negatives = int(LABELS.sum()), int((1 - LABELS).sum())
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    found = auc_estimate(LABELS, PROBABILITIES)
    assert found.value == pytest.approx(auc, abs=1e-12)
    assert 0 < found.low < auc < found.high < 1
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(variance / (positives * negatives)), rel=0.1)


@pytest.mark.parametrize(("positives", "negatives"), [(1, 40), (2, 600), (5, 20), (40, 1), (30, 300)])
def test_chance_is_excluded_where_mann_and_whitneys_test_excludes_it(positives: int, negatives: int) -> None:
    labels = np.repeat([1, 0], [positives, negatives])
    for seed in range(60):
        scores = np.random.default_rng(seed).random(labels.size) + 0.3 * labels
        test = stats.mannwhitneyu(
            scores[labels == 1], scores[labels == 0], alternative="greater", method="asymptotic", use_continuity=False
        )
        assert (auc_estimate(labels, scores).low > 0.5) == (test.pvalue < 0.025)


@pytest.mark.parametrize("label", [0, 1])
def test_a_perfect_order_of_few_rows_is_not_sure(label: int) -> None:
    """A bootstrap of them has no width."""
    labels = np.array([1 - label] * 20 + [label] * 3)
    found = auc_estimate(labels, labels.astype(float))
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.4 < found.low < 0.8
    assert auc_estimate(labels, 1.0 - labels).low == 0.0


def test_equal_scores_say_nothing() -> None:
    found = auc_estimate(LABELS, np.full(LABELS.size, 0.3))
    assert found.value == 0.5
    assert found.low < 0.5 < found.high
    assert auc_difference(LABELS, PROBABILITIES, PROBABILITIES).low == 0


def test_the_difference_of_two_aucs_has_delongs_error() -> None:
    """What the covariances of all placements give, written out."""
    other = PROBABILITIES + GENERATOR.normal(0, 0.1, LABELS.size)
    found = auc_difference(LABELS, PROBABILITIES, other)
    wins = [
        (np.sign(each[LABELS == 1][:, None] - each[LABELS == 0][None, :]) + 1) / 2 for each in (PROBABILITIES, other)
    ]
    lead = wins[0] - wins[1]
    of_positives, of_negatives = (lead.mean(axis=axis) for axis in (1, 0))
    error = np.sqrt(of_positives.var(ddof=1) / lead.shape[0] + of_negatives.var(ddof=1) / lead.shape[1])
    assert found.value == pytest.approx(lead.mean(), abs=1e-12)
    assert (found.high - found.low) / 2 == pytest.approx(1.97 * error, rel=0.02)


@pytest.mark.parametrize("leaf", [0.03, 0.1, 0.9])
@pytest.mark.parametrize("positives", [15, 590])
def test_a_rare_class_that_lies_in_one_leaf_shows_no_difference(leaf: float, positives: int) -> None:
    """Neither a tree of two leaves that knows nothing nor a constant is better than the other."""
    labels, generator = np.repeat([1, 0], [positives, 605 - positives]), np.random.default_rng(0)
    better = [0, 0]
    for _ in range(400):
        tree, constant = (generator.random(605) < leaf).astype(float), np.zeros(605)
        better[0] += auc_difference(labels, tree, constant).low > 0
        better[1] += auc_difference(labels, constant, tree).low > 0
    assert max(better) <= 18


def test_rounded_probabilities_of_two_equally_good_models_show_no_difference() -> None:
    labels, generator = np.repeat([1, 0], [30, 575]), np.random.default_rng(0)
    better = 0
    for _ in range(400):
        truth = generator.normal(size=605) + labels
        ours, theirs = np.round(1 / (1 + np.exp(3.4 - truth - generator.normal(0, 0.3, (2, 605)))), 1)
        better += auc_difference(labels, ours, theirs).low > 0
    assert better <= 18


def test_the_mean_of_a_class_with_one_row_has_no_interval() -> None:
    labels = np.array([1, 0, 0, 0])
    found = mean_estimate(labels, np.arange(4.0))
    assert (found.value, found.low, found.high) == (1.5, -inf, inf)


@pytest.mark.parametrize(("rows", "positives"), [(100, 30), (600, 12)])
def test_a_mean_of_skewed_losses_is_missed_on_either_side_as_often_as_it_may_be(rows: int, positives: int) -> None:
    """Log-normal values with a mean of one. Without Hall's correction 66 of the first miss it."""
    labels = np.repeat([1, 0], [positives, rows - positives])
    generator = np.random.default_rng(0)
    found = [mean_estimate(labels, np.exp(generator.normal(-0.5, 1, rows))) for _ in range(1000)]
    assert sum(each.high < 1 for each in found) <= 45
    assert sum(each.low > 1 for each in found) <= 40


def test_the_confusion_matrix_has_a_row_for_each_true_class() -> None:
    labels, positive = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([False, True, True, False, True, True, True])
    assert confusion(labels, positive).tolist() == [[1, 2], [1, 3]]
    assert confusion(np.array([1]), np.array([False])).tolist() == [[0, 0], [1, 0]]


def test_intervals_are_read_back_from_the_metrics_that_they_became() -> None:
    estimates = {"auc": Estimate(0.8, 0.7, 0.9), "mae": Estimate(2.0, 1.5, inf)}
    values = {name: each.value for name, each in estimates.items()}
    assert with_intervals({**values, "rows_train": 100.0, **ends(estimates)}) == estimates
