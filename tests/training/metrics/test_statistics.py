"""The statistics behind the data checks, against their theory and against other implementations."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from training.metrics import statistics as ours


def test_holm_gives_the_textbook_values() -> None:
    adjusted = ours.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})


@pytest.mark.parametrize("levels", [False, True])
@pytest.mark.parametrize("rows", [(300, 300), (500, 4000)])
def test_psi_of_two_samples_of_one_population_has_the_chances_that_it_says(rows: tuple[int, int], levels: bool) -> None:
    generator = np.random.default_rng(1)

    def sample(size: int) -> np.ndarray:
        return generator.integers(0, 4, size).astype(float) if levels else generator.gamma(2.0, 1.0, size)

    p_values = [ours.psi(sample(rows[0]), sample(rows[1]), levels=levels).p_value for _ in range(2000)]
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(np.array(p_values) < 0.01) < 0.02


def test_psi_is_the_sum_over_the_levels() -> None:
    before, after = np.repeat([0.0, 1.0], [8000, 2000]), np.repeat([0.0, 1.0], [6000, 4000])
    expected = (0.6 - 0.8) * np.log(0.6 / 0.8) + (0.4 - 0.2) * np.log(0.4 / 0.2)
    assert ours.psi(before, after, levels=True).size == pytest.approx(expected, rel=1e-3)


def test_a_column_that_loses_its_values_has_moved() -> None:
    before = np.random.default_rng(0).normal(size=1000)
    after = np.where(np.arange(1000) < 200, np.nan, before)
    assert ours.psi(before, after, levels=False).p_value < 1e-12
    assert ours.kolmogorov_smirnov(before, after).p_value > 0.01


def test_nothing_known_is_no_evidence() -> None:
    nothing = np.full(50, np.nan)
    assert ours.psi(nothing, nothing, levels=False).p_value == 1
    assert ours.kolmogorov_smirnov(nothing, np.arange(50.0)).p_value == 1
    assert ours.two_shares(np.zeros(50), np.zeros(50)).p_value == 1
    assert ours.two_shares(np.empty(0), np.zeros(50)).p_value == 1


def test_the_tenths_of_a_sample_are_about_equal_and_ties_stay_together() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    assert np.bincount(ours.binned(values, values)).tolist() == [100] * 10
    counts = np.random.default_rng(0).poisson(0.5, 1000).astype(float)
    bins = ours.binned(counts, counts)
    assert all(len(set(bins[counts == value])) == 1 for value in set(counts))
    assert len(set(bins)) > 1


def test_auc_is_that_of_scikit_learn_ties_included() -> None:
    generator = np.random.default_rng(0)
    labels, scores = generator.integers(0, 2, 500), generator.integers(0, 9, 500).astype(float)
    assert ours.auc(scores[labels == 1], scores[labels == 0]) == pytest.approx(roc_auc_score(labels, scores))


def test_the_standard_error_of_an_auc_is_about_that_of_repeated_samples() -> None:
    generator = np.random.default_rng(0)
    areas = [ours.auc(generator.normal(1, 1, 80), generator.normal(0, 1, 200)) for _ in range(2000)]
    assert ours.auc_error(float(np.mean(areas)), 80, 200) == pytest.approx(np.std(areas), rel=0.15)


def test_the_interval_of_a_correlation_holds_the_true_one_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        one, noise = generator.normal(size=(2, 200))
        low, high = ours.correlation_interval(float(np.corrcoef(one, 0.5 * one + noise)[0, 1]), 200, alpha=0.05)
        held += low <= 0.5 / np.sqrt(1.25) <= high
    assert held / 1000 == pytest.approx(0.95, abs=0.02)


def test_the_lower_bound_of_a_share_is_exact() -> None:
    low = ours.share_low(95, 100, alpha=0.025)
    assert stats.binom.sf(94, 100, low) == pytest.approx(0.025)
    assert ours.share_low(0, 10, alpha=0.025) == 0


@pytest.mark.parametrize("rows", [500, 1000, 100_000])
def test_a_level_that_one_row_has_is_no_shift(rows: int) -> None:
    before, after = np.zeros(rows), np.zeros(rows)
    after[7] = 1.0
    assert ours.psi(before, after, levels=True).p_value > 0.1


@pytest.mark.parametrize("rows", [(1000, 1000), (5000, 500), (300, 10_000)], ids=str)
def test_rare_levels_look_no_more_like_a_shift_than_others(rows: tuple[int, int]) -> None:
    """Of a column with a hundred rare levels, most of which are in one of the samples by chance."""
    generator, shares = np.random.default_rng(2), np.repeat([0.11, 0.0001], [9, 100])
    drawn = [[generator.multinomial(size, shares) for size in rows] for _ in range(500)]
    p_values = np.array([ours.stability(*counts).p_value for counts in drawn])
    assert [np.mean(p_values < level) <= 1.5 * level for level in (0.05, 0.01)] == [True, True]


def test_two_shares_are_compared_as_in_a_table_of_four() -> None:
    before, after = np.repeat([0.0, 1.0], [700, 300]), np.repeat([0.0, 1.0], [330, 170])
    expected = stats.chi2_contingency([[700, 300], [330, 170]], correction=False).pvalue
    assert ours.two_shares(before, after).p_value == pytest.approx(expected)
