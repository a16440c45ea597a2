"""Performance and slices on mature outcomes, beside those at promotion."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from sklearn.metrics import log_loss, mean_absolute_error, roc_auc_score

from asof.targets import Binary, Multiclass, Regression
from asof.use_case import GateBounds
from monitoring.records.figure import Verdict
from monitoring.statistics.measured import Measured
from monitoring.statistics.performance import performance, worse_by
from monitoring.statistics.slices import slices
from training.metrics.binning import binned_sample
from training.metrics.bootstrap import mean_by_bootstrap
from training.metrics.classification import Estimate, Floats, Labels
from training.targets import rules_of

RULES = rules_of(Binary(("stays", "leaves")))


def sample(rows: int, seed: int, strength: float = 1.0) -> tuple[Labels, Floats]:
    """Labels and calibrated probabilities if `strength` is 1; unrelated ones if it is 0."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 1.2, rows)
    labels = generator.random(rows) < 1 / (1 + np.exp(-(strength * logits - (1 - strength))))
    return labels.astype(np.int64), 1 / (1 + np.exp(-logits))


def by_name(figures: list[Measured]) -> dict[str, Measured]:
    return {each.metric: each for each in figures}


AT_PROMOTION = RULES.estimates(*sample(1500, 0))


def test_the_figures_are_scikit_learns_with_intervals() -> None:
    labels, scores = sample(3000, 1)
    found = by_name(performance(RULES, labels, scores, promotion=AT_PROMOTION))
    assert found["auc"].value == pytest.approx(roc_auc_score(labels, scores))
    assert found["log_loss"].value == pytest.approx(log_loss(labels, scores))
    assert found["base_rate"].value == labels.mean()
    assert all((each.low or inf) < (each.value or 0) < (each.high or 0) for each in found.values())
    assert {each.verdict for each in found.values()} == {Verdict.OK}
    assert found["auc"].detail["promotion"][0] == AT_PROMOTION["auc"].value


def test_a_change_of_concept_is_an_alarm_of_each_figure_and_a_better_month_is_none() -> None:
    found = by_name(performance(RULES, *sample(1000, 2, strength=0), promotion=AT_PROMOTION))
    assert {name: each.verdict for name, each in found.items() if name != "base_rate"} == dict.fromkeys(
        ("auc", "log_loss", "brier"), Verdict.ALARM
    )
    labels, _ = sample(1000, 2)
    better = by_name(performance(RULES, labels, np.where(labels == 1, 0.9, 0.1), promotion=AT_PROMOTION))
    assert {each.verdict for each in better.values()} == {Verdict.OK}


def test_one_class_has_no_auc_and_no_verdict() -> None:
    found = by_name(performance(RULES, np.zeros(500, dtype=np.int64), np.full(500, 0.2), promotion=AT_PROMOTION))
    assert {*found} == {"log_loss", "brier", "base_rate"}
    assert found["log_loss"].verdict is Verdict.TOO_FEW
    assert found["base_rate"].value == 0


def test_probabilities_of_zero_and_one_ties_and_nan() -> None:
    labels, scores = sample(500, 3)
    scores[:5], scores[5:10], scores[10:20], scores[20:120] = 0, 1, np.nan, 0.25
    found = by_name(performance(RULES, labels, scores, promotion=AT_PROMOTION))
    assert found["auc"].n == 490
    known = ~np.isnan(scores)
    assert found["auc"].value == pytest.approx(roc_auc_score(labels[known], scores[known]))
    assert np.isfinite(found["log_loss"].value or inf)


def test_no_rows_have_no_figures_and_few_have_no_verdict() -> None:
    assert performance(RULES, np.empty(0, dtype=np.int64), np.empty(0), promotion=AT_PROMOTION) == []
    few = by_name(performance(RULES, *sample(40, 4, strength=0), promotion=AT_PROMOTION))
    assert few["auc"].verdict is Verdict.TOO_FEW
    assert few["auc"].value is not None
    unknown = by_name(performance(RULES, *sample(4000, 4), promotion={}))
    assert unknown["auc"].verdict is Verdict.TOO_FEW
    assert unknown["auc"].detail["promotion"] is None


def test_several_classes_and_numbers_have_the_figures_of_their_training() -> None:
    generator = np.random.default_rng(5)
    shares = generator.dirichlet([1, 1, 1], 900)
    codes = np.array([generator.choice(3, p=each) for each in shares])
    several = rules_of(Multiclass(("a", "b", "c")))
    found = by_name(performance(several, codes, shares, promotion=several.estimates(codes, shares)))
    assert {name: each.verdict for name, each in found.items()} == dict.fromkeys(
        ("auc", "log_loss", "brier"), Verdict.OK
    )
    worse = by_name(
        performance(several, generator.permutation(codes), shares, promotion=several.estimates(codes, shares))
    )
    assert worse["auc"].verdict is Verdict.ALARM
    numbers, truth = rules_of(Regression("hours")), generator.normal(50, 10, 900)
    before = numbers.estimates(truth, truth + generator.normal(0, 3, 900))
    now = by_name(performance(numbers, truth, truth + generator.normal(0, 4, 900), promotion=before))
    assert {name: each.verdict for name, each in now.items()} == dict.fromkeys(("mae", "rmse", "r2"), Verdict.ALARM)
    assert "r2" not in by_name(performance(numbers, np.ones(60), np.ones(60), promotion=before))


def test_a_difference_needs_both_intervals() -> None:
    apart, p_value = worse_by("auc", Estimate(0.7, 0.68, 0.72), Estimate(0.8, 0.78, 0.82))
    assert apart
    assert p_value < 1e-6
    assert worse_by("auc", Estimate(0.7, 0.68, 0.72), Estimate(0.8, -inf, inf)) == (False, 1.0)
    assert worse_by("mae", Estimate(2, 1.9, 2.1), Estimate(3, 2.9, 3.1))[1] > 0.99
    assert worse_by("mae", Estimate(2, 2, 2), Estimate(2, 2, 2)) == (False, 1.0)


def test_without_a_change_an_alarm_is_rarer_than_the_level() -> None:
    alarms = 0
    for seed in range(200):
        before = RULES.estimates(*sample(300, 1000 + seed))
        found = performance(RULES, *sample(1200, 5000 + seed), promotion=before)
        alarms += any(each.verdict is Verdict.ALARM for each in found)
    assert alarms <= 5  # 1 % of 200; more come by chance once in sixty times


def test_the_interval_of_a_million_numbers_takes_no_minutes_and_is_that_of_theory() -> None:
    values = np.random.default_rng(0).gamma(2.0, 1.0, 1_000_000)
    found = mean_by_bootstrap(values)
    assert found.value == values.mean()
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 1000, rel=0.1)


def sliced(labels: Labels, scores: Floats, plans: np.ndarray, promotion: dict[str, Estimate]) -> dict[str, Measured]:
    bins = {"plan": binned_sample(plans).bins}
    found = slices(RULES, bins, {"plan": plans}, labels=labels, predictions=scores, promotion=promotion)
    return {each.about: each for each in found}


def test_a_slice_that_got_worse_alarms_and_one_that_is_harder_by_nature_does_not() -> None:
    (good, scores), (noise, other) = sample(3000, 6), sample(1000, 7, strength=0)
    labels, scores = np.concatenate([good, noise]), np.concatenate([scores, other])
    plans = np.repeat(np.array(["yearly", "weekly", "monthly"], dtype=object), [1500, 1500, 1000])
    before = {f"plan={name}": Estimate(0.77, 0.74, 0.8) for name in ("yearly", "weekly", "monthly")}
    found = sliced(labels, scores, plans, before)
    assert {name: each.verdict for name, each in found.items()} == {
        "plan=monthly": Verdict.ALARM,
        "plan=weekly": Verdict.OK,
        "plan=yearly": Verdict.OK,
    }
    assert found["plan=monthly"].value == pytest.approx(roc_auc_score(noise, other))
    assert found["plan=monthly"].detail["rest"][0] == pytest.approx(roc_auc_score(good, scores[:3000]))
    always = sliced(labels, scores, plans, before | {"plan=monthly": Estimate(0.52, 0.48, 0.56)})
    assert always["plan=monthly"].verdict is Verdict.OK
    unknown = sliced(labels, scores, plans, {})
    assert unknown["plan=monthly"].verdict is Verdict.NOTICE


def test_small_slices_have_no_verdict_and_absent_ones_no_figure() -> None:
    labels, scores = sample(1000, 8)
    plans = np.repeat(np.array(["big", "small"], dtype=object), [980, 20])
    found = sliced(labels, scores, plans, {})
    assert {name: each.verdict for name, each in found.items()} == dict.fromkeys(
        ("plan=big", "plan=small"), Verdict.TOO_FEW
    )
    assert sliced(labels, scores, np.full(1000, "only", dtype=object), {}) == {}


def test_an_error_is_held_against_the_others_by_its_share() -> None:
    generator = np.random.default_rng(9)
    truth, size = generator.normal(0, 1, 2000), np.repeat([1.0, 2.0], 1000)
    guess = truth + generator.normal(0, 1, 2000) * size
    rules = rules_of(Regression("hours"))
    bins = {"size": binned_sample(size).bins}
    before = {"size=1": Estimate(0.8, 0.76, 0.84), "size=2": Estimate(0.8, 0.76, 0.84)}
    found = slices(rules, bins, {"size": size}, labels=truth, predictions=guess, promotion=before)
    assert {each.about: each.verdict for each in found} == {"size=1": Verdict.OK, "size=2": Verdict.ALARM}
    assert found[1].value == pytest.approx(mean_absolute_error(truth[1000:], guess[1000:]))
    strict = replace(GateBounds(), min_rows=2000)
    few = slices(rules, bins, {"size": size}, labels=truth, predictions=guess, promotion=before, bounds=strict)
    assert {each.verdict for each in few} == {Verdict.TOO_FEW}
