"""Calibration, and the performance that is estimated from it."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from asof.targets import Binary, Multiclass, Regression
from benchmarks.monitoring.estimates import SHIFTS, estimate
from monitoring.records.figure import Verdict
from monitoring.statistics.calibration import calibration
from monitoring.statistics.estimated_performance import CONDITION, estimated_performance, expected_auc
from training.metrics.calibration import (
    calibration_error_estimate,
    logit,
    recalibration,
    reliability,
    spiegelhalter,
)
from training.metrics.classification import Floats, Labels, calibration_error
from training.targets import rules_of

RULES = rules_of(Binary(("stays", "leaves")))


def sample(rows: int, seed: int, *, slope: float = 1.0) -> tuple[Labels, Floats]:
    """Labels, and probabilities whose log odds are `slope` times the true ones."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 1.2, rows)
    return (generator.random(rows) < expit(logits)).astype(np.int64), expit(slope * logits)


def test_spiegelhalters_z_is_standard_normal_for_calibrated_probabilities() -> None:
    found = np.array([spiegelhalter(*sample(400, seed)) for seed in range(500)])
    assert found[:, 0].mean() == pytest.approx(0, abs=0.15)
    assert found[:, 0].std() == pytest.approx(1, abs=0.1)
    assert np.mean(found[:, 1] < 0.05) == pytest.approx(0.05, abs=0.03)


def test_spiegelhalters_z_is_the_brier_score_beside_its_expectation() -> None:
    labels, p = sample(300, 1)
    brier, expected = ((p - labels) ** 2).mean(), (p * (1 - p)).mean()
    spread = np.sqrt(((1 - 2 * p) ** 2 * p * (1 - p)).sum()) / 300
    assert spiegelhalter(labels, p)[0] == pytest.approx((brier - expected) / spread)


def test_certain_probabilities_are_right_or_impossible() -> None:
    labels = np.array([0, 1, 1, 0])
    assert spiegelhalter(labels, labels.astype(float))[1] > 0.9
    z, p_value = spiegelhalter(labels, 1.0 - labels)
    assert z > 1e6
    assert p_value == 0
    assert spiegelhalter(labels, np.full(4, 0.5)) == (0.0, 1.0)


def test_the_bins_give_the_calibration_error_of_training() -> None:
    labels, p = sample(1005, 2, slope=2)
    bins = reliability(labels, p)
    assert [each.n for each in bins] == [101] * 5 + [100] * 5
    found = calibration_error_estimate(bins)
    assert found.value == pytest.approx(calibration_error(labels, p))
    assert found.low < found.value < found.high
    assert len(reliability(labels[:3], p[:3])) == 3


def test_recalibration_is_the_logistic_regression_on_the_log_odds() -> None:
    labels, p = sample(3000, 3, slope=2)
    found = recalibration(labels, p)
    theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(p)[:, None], labels)
    assert found is not None
    assert found.intercept == pytest.approx(theirs.intercept_[0], abs=1e-4)
    assert found.slope == pytest.approx(theirs.coef_[0, 0], abs=1e-4)
    assert found.needed
    calibrated = recalibration(*sample(3000, 4))
    assert calibrated is not None
    assert not calibrated.needed


@pytest.mark.parametrize(
    ("labels", "p"),
    [
        pytest.param([0, 0, 0], [0.1, 0.2, 0.3], id="one class"),
        pytest.param([0, 1, 0], [0.2, 0.2, 0.2], id="one probability"),
        pytest.param([0, 0, 1, 1], [0.0, 0.1, 0.9, 1.0], id="separated"),
    ],
)
def test_rows_that_do_not_determine_a_recalibration_have_none(labels: list[int], p: list[float]) -> None:
    assert recalibration(np.array(labels), np.array(p)) is None


def test_calibration_alarms_where_it_is_far_off_and_was_not_at_promotion() -> None:
    before, (labels, p) = {"": reliability(*sample(2000, 5))}, sample(3000, 6, slope=2.5)
    z, error = calibration(RULES, labels, p, promotion=before)
    assert (z.metric, error.metric) == ("spiegelhalter_z", "calibration_error")
    assert z.verdict is error.verdict is Verdict.ALARM
    assert error.detail["promotion"][0]["n"] == 200
    assert sum(error.detail["n"]) == 3000
    as_ever = {"": reliability(*sample(2000, 7, slope=2.5))}
    assert calibration(RULES, labels, p, promotion=as_ever)[0].verdict is Verdict.NOTICE
    assert calibration(RULES, *sample(3000, 8), promotion=before)[0].verdict is Verdict.OK
    assert calibration(RULES, labels[:20], p[:20], promotion=before)[0].verdict is Verdict.TOO_FEW
    assert calibration(RULES, labels[:0], p[:0], promotion=before) == []


def test_each_class_is_calibrated_against_the_rest_and_a_number_is_not() -> None:
    generator = np.random.default_rng(9)
    shares = generator.dirichlet([1, 1, 1], 2000)
    codes = np.array([generator.choice(3, p=each) for each in shares])
    found = calibration(rules_of(Multiclass(("a", "b", "c"))), codes, shares, promotion={})
    assert [each.about for each in found] == ["a", "a", "b", "b", "c", "c"]
    assert {each.verdict for each in found} == {Verdict.OK}
    assert calibration(rules_of(Regression("hours")), shares[:, 0], shares[:, 1], promotion={}) == []


def test_the_expected_auc_is_the_mean_of_those_of_drawn_labels() -> None:
    generator = np.random.default_rng(0)
    scores, p = generator.random(60).round(1), generator.random(60)
    drawn = [roc_auc_score(generator.random(60) < p, scores) for _ in range(500)]
    assert expected_auc(scores, p) == pytest.approx(np.mean(drawn), abs=0.012)  # four standard errors
    certain = (scores > 0.5).astype(float)
    assert expected_auc(scores, certain) == 1.0
    assert np.isnan(expected_auc(scores, np.zeros(60)))


@pytest.mark.parametrize("slope", [1.0, 1.7], ids=["calibrated", "recalibrated"])
def test_the_estimate_is_right_after_a_shift_of_the_inputs_and_says_its_condition(slope: float) -> None:
    found = recalibration(*sample(20000, 10, slope=slope))
    generator = np.random.default_rng(11)
    logits = generator.normal(0.5, 0.8, 30000)
    labels, p = generator.random(30000) < expit(logits), expit(slope * logits)
    area, loss = estimated_performance(p, {"": found})
    assert area.value == pytest.approx(roc_auc_score(labels, p), abs=0.01)
    assert loss.value == pytest.approx(log_loss(labels, p), abs=0.01)
    for each, true in ((area, roc_auc_score(labels, p)), (loss, log_loss(labels, p))):
        assert (each.low or 0) <= true <= (each.high or 0)
        assert each.detail["condition"] == CONDITION
        assert CONDITION.startswith("If the concept holds")


def test_the_interval_holds_the_auc_of_the_outcomes_as_often_as_it_says() -> None:
    held = 0
    for seed in range(150):
        labels, p = sample(800, 2000 + seed)
        area, _ = estimated_performance(p, {"": recalibration(*sample(1000, 4000 + seed))})
        held += (area.low or 0) <= roc_auc_score(labels, p) <= (area.high or 0)
    assert held >= 0.9 * 150


def test_classes_have_an_estimate_and_numbers_none() -> None:
    generator = np.random.default_rng(12)
    shares = generator.dirichlet([1, 1, 1], 5000)
    codes = np.array([generator.choice(3, p=each) for each in shares])
    names = {name: recalibration((codes == code) * 1, shares[:, code]) for code, name in enumerate("abc")}
    area, loss = estimated_performance(shares, names)
    assert area.value == pytest.approx(roc_auc_score(codes, shares, multi_class="ovr"), abs=0.01)
    assert loss.value == pytest.approx(log_loss(codes, shares), abs=0.015)
    assert estimated_performance(shares[:, 0], {}) == []


def test_few_rows_one_probability_and_none() -> None:
    _, p = sample(50, 13)
    assert {each.verdict for each in estimated_performance(p, {"": None})} == {Verdict.TOO_FEW}
    certain, _ = estimated_performance(np.zeros(500), {"": None})
    assert certain.value is None
    assert estimated_performance(np.full(3, np.nan), {"": None}) == []


@pytest.mark.parametrize("shift", [name for name in SHIFTS if name != "the concept changes"])
def test_on_simulated_shifts_the_estimate_is_within_a_hundredth(shift: str) -> None:
    """`python -m benchmarks monitoring` has more seeds."""
    figure, true, before = estimate(SHIFTS[shift], 30_000, 0)
    assert figure.value == pytest.approx(true, abs=0.01)
    assert (figure.low or 0) <= true <= (figure.high or 0)
    assert abs(before - true) < 0.1


def test_a_change_of_concept_is_invisible_to_the_estimate() -> None:
    figure, true, before = estimate(SHIFTS["the concept changes"], 7_043, 0)
    assert true < 0.65
    assert figure.value == pytest.approx(before, abs=0.03)
