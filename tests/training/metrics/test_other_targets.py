"""Metrics of several classes and of numbers: scikit-learn's own values, intervals that hold, draws without a class."""

import numpy as np
import pytest
import sklearn.metrics as oracle

from training.metrics.bootstrap import DRAWS, by_bootstrap, mean_by_bootstrap
from training.metrics.classification import best_threshold_by_cost, cost_curve
from training.metrics.multiclass import (
    classwise_calibration_error,
    confusion,
    log_loss_estimate,
    macro_auc,
    macro_auc_difference,
    macro_auc_estimate,
)
from training.metrics.regression import conformal_margin, error_estimates, errors_of

GENERATOR = np.random.default_rng(7)
PROBABILITIES = (GENERATOR.multinomial(50, [0.35, 0.5, 0.15], 300) + 1) / 53  # with ties
LABELS = (GENERATOR.random(300)[:, None] >= PROBABILITIES.cumsum(axis=1)[:, :2]).sum(axis=1)
VALUES = GENERATOR.gamma(2, 10, 200)
PREDICTED = VALUES + GENERATOR.normal(0, 3, 200)


def test_the_macro_auc_is_scikit_learns_within_its_interval() -> None:
    expected = oracle.roc_auc_score(LABELS, PROBABILITIES, multi_class="ovr")
    found = macro_auc_estimate(LABELS, PROBABILITIES)
    assert macro_auc(LABELS, PROBABILITIES) == expected
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert found.low < expected < found.high <= 1


def test_of_two_classes_the_interval_is_delongs() -> None:
    """DeLong, DeLong and Clarke-Pearson's variance, from pairs of a positive and a negative row."""
    labels, positive = (LABELS == 1).astype(int), PROBABILITIES[:, 1]
    above = (positive[labels == 1, None] > positive[labels == 0]) + (
        positive[labels == 1, None] == positive[labels == 0]
    ) / 2
    variance = (
        above.mean(axis=1).var(ddof=1) / (labels == 1).sum() + above.mean(axis=0).var(ddof=1) / (labels == 0).sum()
    )
    found = macro_auc_estimate(labels, np.stack([1 - positive, positive], axis=1))
    assert found.high - found.value == pytest.approx(1.96 * np.sqrt(variance), rel=0.02)


def test_a_class_with_one_row_has_no_interval() -> None:
    labels = np.array([0] * 20 + [1] * 20 + [2])
    found = macro_auc_estimate(labels, PROBABILITIES[:41])
    assert (found.low, found.high) == (0, 1)
    assert macro_auc_difference(labels, PROBABILITIES[:41], PROBABILITIES[41:82]).low == -np.inf


def test_a_class_without_a_row_has_no_part_in_a_mean() -> None:
    some = LABELS != 2
    areas = [oracle.roc_auc_score(LABELS[some] == code, PROBABILITIES[some, code]) for code in (0, 1)]
    assert macro_auc(LABELS[some], PROBABILITIES[some]) == np.mean(areas)
    assert np.isnan(macro_auc(np.zeros(5, dtype=int), PROBABILITIES[:5]))
    assert confusion(np.array([0, 1]), np.array([0, 2]), 3).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_the_log_loss_is_scikit_learns() -> None:
    assert log_loss_estimate(LABELS, PROBABILITIES).value == pytest.approx(
        oracle.log_loss(LABELS, PROBABILITIES), rel=1e-12
    )


def test_the_difference_of_a_model_with_itself_is_nothing() -> None:
    found = macro_auc_difference(LABELS, PROBABILITIES, PROBABILITIES)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_a_calibrated_model_has_a_small_classwise_error_and_one_that_is_too_sure_has_not() -> None:
    sure = PROBABILITIES**3 / (PROBABILITIES**3).sum(axis=1, keepdims=True)
    assert classwise_calibration_error(LABELS, PROBABILITIES) < 0.08
    assert classwise_calibration_error(LABELS, sure) > 0.1


def test_errors_are_scikit_learns_with_intervals_around_them() -> None:
    found = error_estimates(VALUES, PREDICTED)
    assert {name: each.value for name, each in found.items()} == errors_of(VALUES, PREDICTED)
    assert found["mae"].value == oracle.mean_absolute_error(VALUES, PREDICTED)
    assert found["rmse"].value == oracle.root_mean_squared_error(VALUES, PREDICTED)
    assert found["r2"].value == oracle.r2_score(VALUES, PREDICTED)
    assert all(each.low < each.value < each.high for each in found.values())


@pytest.mark.parametrize("rows", [30, 200])
def test_the_interval_of_a_skewed_mean_misses_about_as_often_as_it_may(rows: int) -> None:
    generator = np.random.default_rng(1)
    missed = 0
    for _ in range(40):
        found = mean_by_bootstrap(generator.exponential(1.0, rows))
        missed += not found.low <= 1 <= found.high
    assert missed <= 6  # 5 % of 40 are two; 1 % of such series have more than six


def test_intervals_of_one_row_are_infinite_and_of_equal_rows_nothing() -> None:
    assert mean_by_bootstrap(np.array([3.0])).high == np.inf
    same = mean_by_bootstrap(np.full(9, 3.0))
    assert (same.low, same.high) == (3, 3)
    assert by_bootstrap(1.0, 3, lambda _: float("nan"))[1] == DRAWS


def test_a_conformal_margin_contains_the_share_of_new_outcomes() -> None:
    generator = np.random.default_rng(3)
    shares = [
        (np.abs(generator.normal(0, 1, 500)) <= conformal_margin(generator.normal(0, 1, 60), 0.9)).mean()
        for _ in range(100)
    ]
    assert np.mean(shares) == pytest.approx(0.9, abs=0.015)
    assert conformal_margin(np.arange(9.0), 0.9) == 8
    assert conformal_margin(np.arange(8.0), 0.9) == np.inf


def test_the_threshold_of_the_least_cost_is_where_the_cost_is_least() -> None:
    labels = (GENERATOR.random(400) < 0.3).astype(np.int64)
    probabilities = np.clip(labels * 0.2 + GENERATOR.random(400) * 0.7, 0, 1).round(2)
    thresholds, costs = cost_curve(labels, probabilities, missed=5, false_alarm=1)

    def cost(threshold: float) -> float:
        answers = probabilities >= threshold
        return float((5 * (labels & ~answers) + (answers & (labels == 0))).mean())

    assert costs.tolist() == pytest.approx([cost(each) for each in thresholds])
    chosen = best_threshold_by_cost(labels, probabilities, missed=5, false_alarm=1)
    assert cost(chosen) == pytest.approx(min(costs))
    assert chosen < best_threshold_by_cost(labels, probabilities, missed=1, false_alarm=1)
