"""Joint shift and score shift; and that a year without drift is quiet."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.monitoring.quiet_year import false_alarms
from monitoring.records.figure import Verdict
from monitoring.statistics.drift import drift
from monitoring.statistics.joint_shift import joint_shift
from monitoring.statistics.score_shift import score_shift
from training.metrics.binning import binned_sample
from training.models.evaluation.reference import Scores

Columns = dict[str, np.ndarray]


def columns(generator: np.random.Generator, rows: int, correlation: float = 0.0) -> Columns:
    first, second = generator.normal(size=(2, rows))
    plan = generator.choice(["a", "b", None], rows).astype(object)
    return {"x": first, "y": correlation * first + np.sqrt(1 - correlation**2) * second, "plan": plan}


def test_two_features_that_begin_to_go_together_are_seen_jointly_and_not_by_themselves() -> None:
    generator = np.random.default_rng(0)
    before, now = columns(generator, 1500), columns(generator, 1500, correlation=0.8)
    (figure,) = joint_shift(before, now)
    assert figure.verdict is Verdict.ALARM
    assert 0.5 < (figure.low or 0) < (figure.value or 0) < (figure.high or 0)
    reference = {name: binned_sample(values) for name, values in before.items()}
    counts = {name: each.bins.count(now[name]) for name, each in reference.items()}
    assert {each.verdict for each in drift(reference, counts)} == {Verdict.OK}


def test_the_same_seed_gives_the_same_figure() -> None:
    generator = np.random.default_rng(1)
    samples = columns(generator, 2500), columns(generator, 300)
    assert joint_shift(*samples) == joint_shift(*samples)
    assert joint_shift(*samples)[0].detail["sampled"] == [2000, 300]


def test_without_a_shift_the_p_value_is_not_below_a_level_more_often_than_it_says() -> None:
    generator = np.random.default_rng(2)
    samples = [(columns(generator, 250), columns(generator, 250)) for _ in range(40)]
    p_values = [joint_shift(*each, seed=seed)[0].detail["p_value"] for seed, each in enumerate(samples)]
    assert stats.binom.sf(sum(p < 0.05 for p in p_values) - 1, 40, 0.05) > 0.01


def test_users_who_are_in_both_samples_do_not_make_the_model_name_them_by_heart() -> None:
    generator = np.random.default_rng(3)
    users = np.arange(1000)
    before = {"id": generator.normal(size=1000)}
    (figure,) = joint_shift(before, before, entities=(users, users))
    assert figure.value == pytest.approx(0.5, abs=0.01)
    (by_heart,) = joint_shift(before, before)
    assert (by_heart.value or 1) < 0.47


def test_infinite_values_all_null_columns_and_few_rows() -> None:
    values = np.where(np.arange(300) % 3 == 0, np.inf, np.arange(300.0))
    odd = {"x": values, "nothing": np.full(300, np.nan), "none": np.full(300, None, dtype=object)}
    assert joint_shift(odd, odd)[0].value == pytest.approx(0.5, abs=0.1)
    few = {name: each[:100] for name, each in odd.items()}
    assert joint_shift(odd, few)[0].verdict is Verdict.TOO_FEW
    assert joint_shift(odd, {name: each[:0] for name, each in odd.items()})[0].n == 0


def test_scores_have_a_shift_a_mean_and_a_share_over_the_threshold() -> None:
    generator = np.random.default_rng(4)
    held_out, now = generator.beta(2, 5, 1000), generator.beta(3, 5, 2000)
    reference = {"": Scores(binned_sample(held_out), float(held_out.mean()), float((held_out >= 0.4).mean()))}
    shift, mean, share = score_shift(reference, np.append(now, np.nan), 0.4)
    assert shift.verdict is Verdict.ALARM
    assert shift.n == mean.n == 2000
    low, high = stats.t.interval(0.95, 1999, now.mean(), stats.sem(now))
    assert (mean.value, mean.low, mean.high) == pytest.approx((now.mean(), low, high))
    assert mean.detail["training"] == held_out.mean()
    assert share.value == (now >= 0.4).mean()
    assert (share.low or 1) < (share.value or 0) < (share.high or 0)
    assert score_shift(reference, generator.beta(2, 5, 2000), 0.4)[0].verdict is Verdict.OK


def test_scores_of_several_classes_have_a_figure_each_and_none_a_threshold() -> None:
    generator = np.random.default_rng(5)
    held_out = generator.dirichlet([1, 2, 3], 500)
    reference = {
        name: Scores(binned_sample(held_out[:, code]), float(held_out[:, code].mean()))
        for code, name in enumerate("abc")
    }
    found = score_shift(reference, generator.dirichlet([3, 2, 1], 500))
    expected = [("psi", "a"), ("psi", "b"), ("psi", "c"), ("mean", "a"), ("mean", "b"), ("mean", "c")]
    assert [(each.metric, each.about) for each in found] == expected
    assert found[0].verdict is Verdict.ALARM


def test_no_score_is_too_few() -> None:
    reference = {"": Scores(binned_sample(np.linspace(0, 1, 500)), 0.5, 0.5)}
    found = score_shift(reference, np.empty(0), 0.5)
    assert found[0].verdict is Verdict.TOO_FEW
    assert [each.value for each in found[1:]] == [None, None]


def test_a_quiet_year_is_quiet() -> None:
    """The benchmark in small: `python -m benchmarks monitoring`. 5 % are allowed."""
    alarms = false_alarms("other users of one month", 600, 2)
    assert len(alarms) == 24
    assert sum(map(bool, alarms)) <= 3
