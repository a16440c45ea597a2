"""Drift is a finding where it is significant for all columns together, and a warning where it is also large."""

import pandas as pd
import pytest

from tests.kits.data.inspection import ROWS, Break, Frames, months
from training.inspection.checks.changes.drift import drift
from training.inspection.month import pair_of
from training.metrics.statistics import NOTICE, kolmogorov_smirnov, psi


def moved(break_it: Break, *, rows: int = ROWS) -> dict[str, str]:
    return {each.subject: str(each.severity) for each in drift(pair_of(*months(break_it, rows=rows)))}


def spent_times(factor: float) -> Break:
    def change(_: Frames, after: Frames) -> None:
        after["visits"]["spent"] *= factor

    return change


def a_fifth_has_no_bonus(_: Frames, after: Frames) -> None:
    after["members"].loc[after["members"].index % 5 == 0, "bonus"] = None


def a_fifth_is_late(_: Frames, after: Frames) -> None:
    after["visits"] = after["visits"].iloc[ROWS // 5 :]


def joined_earlier(_: Frames, after: Frames) -> None:
    after["members"]["joined"] -= pd.Timedelta(days=300)


def test_what_is_rare_for_one_column_is_not_for_eight() -> None:
    pair = pair_of(*months(spent_times(1.1)))
    assert kolmogorov_smirnov(*pair.numbers("visits.spent")).p_value < NOTICE
    assert drift(pair) == []


def test_a_step_in_one_direction_is_heard_by_the_order_where_the_tenths_are_not_sure() -> None:
    pair = pair_of(*months(spent_times(1.12)))
    before, after = pair.numbers("visits.spent")
    assert kolmogorov_smirnov(before, after).p_value < psi(before, after, levels=False).p_value / 2
    assert moved(spent_times(1.12)) == {"visits.spent": "info"}


@pytest.mark.parametrize(("factor", "severity"), [(1.15, "info"), (1.22, "warning")])
def test_a_distance_of_a_tenth_is_far_although_the_index_is_small(factor: float, severity: str) -> None:
    pair = pair_of(*months(spent_times(factor)))
    assert psi(*pair.numbers("visits.spent"), levels=False).size < 0.1
    assert moved(spent_times(factor)) == {"visits.spent": severity}


def test_values_that_are_gone_are_far_although_the_others_have_not_moved() -> None:
    assert moved(a_fifth_has_no_bonus) == {"members.bonus": "warning"}


@pytest.mark.parametrize(("factor", "severity"), [(1.4, "info"), (1.5, "warning")])
def test_far_is_no_alarm_until_it_is_sure(factor: float, severity: str) -> None:
    assert moved(spent_times(factor), rows=250) == {"visits.spent": severity}


@pytest.mark.parametrize(("rows", "expected"), [(90, {}), (110, {"visits.spent": "warning"})])
def test_fewer_than_a_hundred_rows_are_not_compared(rows: int, expected: dict[str, str]) -> None:
    assert moved(spent_times(3), rows=rows) == expected


def test_rows_that_are_late_and_dates_are_no_drift() -> None:
    assert moved(a_fifth_is_late) == {}
    assert moved(joined_earlier) == {}
