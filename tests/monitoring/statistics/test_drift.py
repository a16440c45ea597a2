"""Drift of single features, against SciPy and against the chances that it states."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from monitoring.records.figure import Verdict
from monitoring.statistics.drift import drift
from monitoring.statistics.measured import LEVEL, LEVELS, Measured
from training.metrics.binning import CategoryBins, NumberBins, binned_sample, without_rare_bins
from training.metrics.statistics import stability, stability_interval

Draw = Callable[[np.random.Generator, int], NDArray[Any]]
KINDS: dict[str, Draw] = {
    "normal": lambda generator, rows: generator.normal(size=rows),
    "mostly zero": lambda generator, rows: np.where(generator.random(rows) < 0.93, 0, generator.gamma(2, size=rows)),
    "counts": lambda generator, rows: generator.poisson(0.4, rows).astype(float),
    "boolean": lambda generator, rows: (generator.random(rows) < 0.03).astype(float),
    "rare values": lambda generator, rows: generator.zipf(1.6, rows).clip(None, 300).astype(str).astype(object),
}


def of(before: NDArray[Any], now: NDArray[Any]) -> Measured:
    reference = binned_sample(before)
    (figure,) = drift({"x": reference}, {"x": reference.bins.count(now)})
    return figure


@pytest.mark.parametrize("rows", [(200, 200), (5000, 300), (300, 3000)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_without_a_shift_the_p_value_is_below_a_level_as_often_as_it_says(kind: str, rows: tuple[int, int]) -> None:
    """With bins of the training sample, whose greatest and whose rare values are those that it happens to have."""
    generator = np.random.default_rng(3)
    p_values = []
    for _ in range(200):
        reference = binned_sample(KINDS[kind](generator, rows[0]))
        counts = np.array(reference.counts), reference.bins.count(KINDS[kind](generator, rows[1]))
        p_values.append(stability(*without_rare_bins(*counts)).p_value)
    for level in (0.05, 0.01):
        assert stats.binom.sf(sum(p < level for p in p_values) - 1, 200, level) > 0.001


def test_psi_is_that_of_the_shares_in_the_bins() -> None:
    before, now = np.repeat([1.0, 2.0, 3.0], [4000, 3000, 3000]), np.repeat([1.0, 2.0, 3.0], [3000, 3000, 4000])
    figure = of(before, now)
    p, q = np.array([0.4, 0.3, 0.3]), np.array([0.3, 0.3, 0.4])
    assert figure.value == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-3)
    assert figure.detail["bins"] == ["below 1", "1", "2", "3", "above 3", "null"]
    assert figure.detail["expected"] == [0, 0.4, 0.3, 0.3, 0, 0]
    assert figure.detail["observed"] == [0, 0.3, 0.3, 0.4, 0, 0]


def test_its_test_is_about_the_chi_squared_test_of_two_samples() -> None:
    before, now = np.array([500, 480, 520, 500]), np.array([260, 230, 270, 200])
    expected = stats.chi2_contingency(np.stack([before, now]), correction=False).pvalue
    assert stability(before, now).p_value == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("true", [0.0, 0.02, 0.3])
def test_the_interval_of_the_psi_holds_the_true_one_as_often_as_it_says(true: float) -> None:
    generator = np.random.default_rng(4)
    before = np.full(10, 0.1)
    tilt = np.linspace(-1, 1, 10)
    strengths = np.linspace(0, 2, 2001)
    tilted = [before * np.exp(each * tilt) / (before * np.exp(each * tilt)).sum() for each in strengths]
    values = [((each - before) * np.log(each / before)).sum() for each in tilted]
    now = tilted[int(np.argmin(np.abs(np.array(values) - true)))]
    exact, held = ((now - before) * np.log(now / before)).sum(), 0
    for _ in range(150):
        counts = generator.multinomial(1500, before), generator.multinomial(700, now)
        low, high = stability_interval(stability(*counts).size, 1500, 700, bins=10)
        held += low <= exact + 1e-12 and exact <= high
    assert held >= 0.88 * 150


def test_a_shift_needs_to_be_beyond_chance_and_large_to_alarm() -> None:
    generator = np.random.default_rng(0)
    before = generator.normal(size=20000)
    assert of(before, generator.normal(size=20000)).verdict is Verdict.OK
    assert of(before, generator.normal(0.1, 1, 20000)).verdict is Verdict.NOTICE
    assert of(before, generator.normal(0.5, 1, 20000)).verdict is Verdict.ALARM
    assert (of(before[:250], generator.normal(0.25, 1, 250)).value or 0) > 0.05
    assert of(before[:250], generator.normal(0.25, 1, 250)).verdict is Verdict.OK


@pytest.mark.parametrize(("before", "now"), [(199, 5000), (5000, 199)])
def test_below_two_hundred_rows_there_is_a_value_and_no_verdict(before: int, now: int) -> None:
    generator = np.random.default_rng(0)
    figure = of(generator.normal(size=before), generator.normal(3, 1, now))
    assert figure.verdict is Verdict.TOO_FEW
    assert figure.detail["p_value"] is None
    assert (figure.value or 0) > 1
    assert figure.n == now


def test_no_row_now_is_too_few_and_no_error() -> None:
    figure = of(np.arange(1000.0), np.empty(0))
    assert (figure.verdict, figure.n, figure.value, figure.high) == (Verdict.TOO_FEW, 0, 0.0, None)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param(np.full(500, 7.0), np.full(500, 8.0), id="another constant"),
        pytest.param(np.full(500, 7.0), np.repeat([7.0, 8.0], [300, 200]), id="no longer constant"),
        pytest.param(np.full(500, np.nan), np.full(500, 1.0), id="no longer null"),
        pytest.param(np.arange(500.0), np.full(500, np.nan), id="all null"),
        pytest.param(np.arange(500.0), np.repeat([np.inf, 250.0], [100, 400]), id="infinite"),
        pytest.param(np.arange(500.0), 1000 * np.arange(500.0), id="another unit"),
        pytest.param(np.arange(500.0), -np.arange(500.0), id="another sign"),
        pytest.param(np.repeat([0.0, 1.0], [450, 50]), np.repeat([0.0, 1.0], [250, 250]), id="boolean"),
        pytest.param(np.repeat([0.0, 1.0], [250, 250]), np.repeat([0.0, 5.0], [250, 250]), id="another coding"),
        pytest.param(
            np.array(["a", "b"] * 250, dtype=object), np.array(["a", "c"] * 250, dtype=object), id="an unseen value"
        ),
        pytest.param(
            np.array(["a", "b"] * 250, dtype=object), np.array(["a", None] * 250, dtype=object), id="null text"
        ),
        pytest.param(
            np.array(["1", "2"] * 250, dtype=object), np.array(["1.0", "2.0"] * 250, dtype=object), id="another format"
        ),
    ],
)
def test_what_becomes_of_a_column_is_seen(before: NDArray[Any], now: NDArray[Any]) -> None:
    assert of(before, now).verdict is Verdict.ALARM
    assert of(before, before).verdict is Verdict.OK


def test_a_few_values_above_the_greatest_are_beyond_chance_and_no_large_shift() -> None:
    before = np.arange(7000.0) % 700
    now = before.copy()
    now[:105] = 800.0
    figure = of(before, now)
    assert figure.verdict is Verdict.NOTICE
    assert (figure.value or 0) < 0.01
    assert figure.detail["observed"][-2] == 0.015


def test_text_with_a_value_for_each_row_says_nothing_and_takes_no_space() -> None:
    ids = np.array([f"user-{number}" for number in range(5000)], dtype=object)
    figure = of(ids[:2500], ids[2500:])
    assert figure.verdict is Verdict.OK
    assert figure.detail["bins"] == ["any other", "null"]


def test_thousands_of_values_keep_the_commonest_apart() -> None:
    generator = np.random.default_rng(0)
    values = np.array([f"v{number}" for number in generator.zipf(1.2, 60000).clip(None, 9000)], dtype=object)
    bins = binned_sample(values).bins
    assert isinstance(bins, CategoryBins)
    assert len(bins.values) == 50
    assert "v1" in bins.values


def test_counts_of_values_are_the_same_as_the_values_counted() -> None:
    values = np.array(["a"] * 20 + ["b"] * 15 + ["rare"] + [None, float("nan")], dtype=object)
    bins = binned_sample(values).bins
    assert isinstance(bins, CategoryBins)
    assert bins.count(values).tolist() == [20, 15, 1, 2]
    assert bins.tally({"a": 20, "b": 15, "rare": 1, None: 2}).tolist() == [20, 15, 1, 2]


def test_a_bin_begins_at_its_edge_as_postgresqls_width_bucket_has_it() -> None:
    values = np.array([0.9, 1.0, 2.4, 2.5, 4.0, np.inf, -np.inf, np.nan])
    assert NumberBins((1.0, 2.5, 4.0)).codes(values).tolist() == [0, 1, 1, 2, 3, 3, 0, 4]


def test_the_parts_of_the_level_are_the_level() -> None:
    assert sum(LEVELS.values()) == pytest.approx(LEVEL)


def test_one_of_many_features_is_held_against_all_of_them() -> None:
    generator = np.random.default_rng(1)
    samples = {f"f{number}": generator.normal(size=1000) for number in range(50)}
    reference = {name: binned_sample(values) for name, values in samples.items()}
    moved = generator.normal(0.16, 1, 1000)
    alone = of(samples["f0"], moved).detail["p_value"]
    counts = {name: each.bins.count(samples[name]) for name, each in reference.items()}
    counts["f0"] = reference["f0"].bins.count(moved)
    together = drift(reference, counts)[0]
    assert together.detail["p_value"] == pytest.approx(min(1, 50 * alone))
