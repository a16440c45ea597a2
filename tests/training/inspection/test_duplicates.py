"""Two columns say the same twice where each follows from the other in every row, and where that is no accident."""

from dataclasses import replace

import numpy as np
import pytest

from asof.extracts.schema import Column, Kind, RawTable
from tests.kits.data.inspection import GYM, MEMBERS, MONTHS, ROWS, VISITS, Break, Frames, gym, months, typed_month
from training.inspection.checks.values.duplicates import FIRST_ROWS, MAX_LEVELS, duplicated_columns
from training.inspection.month import Month

LINE, FLAGS = "members.bonus~visits.spent", "members.region~members.online"


def duplicated(break_it: Break, *, rows: int = ROWS) -> list[str]:
    return [each.subject for each in duplicated_columns(months(break_it, rows=rows)[1])]


def bonus_of_spent(times: float, *, noise: float = 0.0, until: int = ROWS, known: int = 1) -> Break:
    """The bonus follows from what was spent: but for noise, in the first rows only, null in each known-th row."""

    def change(_: Frames, after: Frames) -> None:
        spent, rows = after["visits"]["spent"], np.arange(len(after["visits"]))
        line = times * spent + 1 + noise * np.random.default_rng(2).normal(size=rows.size)
        after["members"]["bonus"] = line.where(rows < until, after["members"]["bonus"])
        after["members"].loc[known * (rows // known) != rows, "bonus"] = None

    return change


def both_zero_at_first(_: Frames, after: Frames) -> None:
    after["visits"].loc[: FIRST_ROWS - 1, "spent"] = 0.0
    after["members"]["bonus"] = 3 * after["visits"]["spent"]


def one_outlier(_: Frames, after: Frames) -> None:
    for table, column in (("visits", "spent"), ("members", "bonus")):
        after[table][column] = np.where(after[table].index == 7, 9.0, 1.0)


def flags_of(members: int) -> Break:
    def change(_: Frames, after: Frames) -> None:
        few = after["members"].index < members
        after["members"]["online"] = few
        after["members"]["region"] = np.where(few, "north", "south")

    return change


def towns(levels: int) -> Month:
    """A month whose members have a second text, a town that follows from the region."""
    members = RawTable("members", (*MEMBERS.columns, Column("town", Kind.TEXT)))
    frames = gym(1)
    place = frames["members"].index % levels
    frames["members"] = frames["members"].assign(region=place.astype(str), town="t" + place.astype(str))
    return typed_month(frames, MONTHS[1], replace(GYM, tables=(members, VISITS)))


@pytest.mark.parametrize("break_it", [bonus_of_spent(3), bonus_of_spent(-3), both_zero_at_first])
def test_a_straight_line_is_found_whichever_way_it_runs_and_wherever_it_begins(break_it: Break) -> None:
    assert duplicated(break_it) == [LINE]


@pytest.mark.parametrize(
    "break_it",
    [bonus_of_spent(3, noise=0.05), bonus_of_spent(3, until=FIRST_ROWS), bonus_of_spent(3, known=2), one_outlier],
    ids=["nearly", "at first", "where known", "one outlier"],
)
def test_what_is_on_a_line_nearly_or_at_first_or_where_known_is_not_the_same(break_it: Break) -> None:
    assert duplicated(break_it) == []


@pytest.mark.parametrize(("rows", "expected"), [(29, []), (30, [LINE])])
def test_fewer_than_thirty_rows_are_no_line(rows: int, expected: list[str]) -> None:
    assert duplicated(bonus_of_spent(3), rows=rows) == expected


@pytest.mark.parametrize(("members", "expected"), [(0, []), (4, []), (5, [FLAGS])])
def test_flags_that_are_hardly_ever_set_agree_by_chance(members: int, expected: list[str]) -> None:
    assert duplicated(flags_of(members)) == expected


def test_texts_of_few_levels_are_compared_and_no_others() -> None:
    subjects = {levels: [each.subject for each in duplicated_columns(towns(levels))] for levels in (3, MAX_LEVELS + 1)}
    assert subjects == {3: ["members.region~members.town"], MAX_LEVELS + 1: []}
