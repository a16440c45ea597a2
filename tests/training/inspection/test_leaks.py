"""Single columns that predict the label: found in any shape, and only where there are enough rows."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from tests.kits.data.inspection import ROWS, Frames, months
from training.inspection.checks.labels.leaks import leak_suspects, single_features
from training.inspection.month import Month
from training.metrics.statistics import ALARM, auc_error

Change = Callable[[Frames], None]
Leak = tuple[str, str]


def leaked(change: Change, *, rows: int = ROWS) -> list[Leak]:
    return [(each.subject, str(each.severity)) for each in leak_suspects(one(change, rows=rows))]


def one(change: Change, *, rows: int = ROWS) -> Month:
    """The second month, its frames changed in place."""

    def break_it(_: Frames, after: Frames) -> None:
        change(after)

    return months(break_it, rows=rows)[1]


def spent_knows(by: float) -> Change:
    """Who leaves has spent more by so much, beside what anybody has: nothing is certain."""

    def change(frames: Frames) -> None:
        frames["visits"]["spent"] += by * frames["labels"]["left"]

    return change


def spent_knows_less(frames: Frames) -> None:
    frames["visits"]["spent"] -= 1000 * frames["labels"]["left"]


def who_leaves_spends_neither_little_nor_much(frames: Frames) -> None:
    far = np.where(frames["labels"].index % 2 == 0, 1000.0, -1000.0)
    frames["visits"]["spent"] += np.where(frames["labels"]["left"], 0.0, far)


def leaves_from_the_east(members: int) -> Change:
    def change(frames: Frames) -> None:
        leavers = frames["labels"].index[frames["labels"]["left"]]
        frames["members"].loc[leavers[:members], "region"] = "east"

    return change


def one_leaves_who_spent_most(frames: Frames) -> None:
    frames["labels"]["left"] = frames["visits"]["spent"] == frames["visits"]["spent"].max()


def fifty_regions(frames: Frames) -> None:
    frames["members"]["region"] = np.random.default_rng(3).integers(0, 50, len(frames["members"])).astype(str)


def nothing(_: Frames) -> None:
    """A clean month."""


@pytest.mark.parametrize(
    "change", [spent_knows(60), spent_knows(1000), spent_knows_less, who_leaves_spends_neither_little_nor_much]
)
def test_a_column_that_is_far_too_good_is_reported_once_whatever_its_shape(change: Change) -> None:
    assert leaked(change) == [("visits.spent", "error")]


@pytest.mark.parametrize(("change", "rows"), [(spent_knows(30), ROWS), (spent_knows(55), 200)])
def test_a_column_that_is_good_or_not_surely_too_good_is_no_suspect(change: Change, rows: int) -> None:
    assert leaked(change, rows=rows) == []


@pytest.mark.parametrize(("members", "expected"), [(40, []), (200, [("members.region", "error")])])
def test_a_value_that_only_leavers_have_gives_them_away_where_they_are_many(members: int, expected: list[Leak]) -> None:
    assert leaked(leaves_from_the_east(members)) == expected


def test_the_only_leaver_may_be_first_by_chance() -> None:
    assert leaked(one_leaves_who_spent_most) == []


def test_the_area_of_a_measurement_is_exact_whichever_way_it_points() -> None:
    month = one(nothing)
    hours, left = month.numbers("visits.gym_hours_30d"), month.numbers("labels.left")
    assert single_features(month)["visits.gym_hours_30d"].auc == pytest.approx(roc_auc_score(left, -hours))
    assert roc_auc_score(left, -hours) > 0.6


def test_the_rates_of_many_levels_are_not_tried_on_the_rows_that_they_come_from() -> None:
    assert single_features(one(fifty_regions, rows=200))["members.region"].auc < 0.6


def test_the_lower_bounds_hold_for_all_columns_together() -> None:
    month = one(spent_knows(30))
    found, left = single_features(month), month.numbers("labels.left")
    spent = found["visits.spent"]
    error = auc_error(spent.auc, int(left.sum()), int((1 - left).sum()))
    assert stats.norm.sf((spent.auc - spent.low) / error) == pytest.approx(ALARM / len(found))
