"""Each data check finds a month that is broken in one way, and finds nothing in a clean one."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from asof.extracts.cadence import Cadence, Every
from tests.kits.data.inspection import GYM, MONTHS, ROWS, Frames, examined, found, gym, typed_month
from training.inspection import examine
from training.inspection.month import pair_of

Change = Callable[[pd.DataFrame], None]


def now(table: str, column: str, value: object) -> Callable[[Frames, Frames], None]:
    """A month whose column holds the value, or what a function makes of the table."""

    def change(_: Frames, after: Frames) -> None:
        after[table][column] = value(after[table]) if callable(value) else value

    return change


def both(change: Callable[[Frames], None]) -> Callable[[Frames, Frames], None]:
    def change_both(before: Frames, after: Frames) -> None:
        change(before)
        change(after)

    return change_both


def _as_before(table: str, *columns: str) -> Callable[[Frames, Frames], None]:
    def change(before: Frames, after: Frames) -> None:
        stays = after[table]["member"].isin(before[table]["member"])
        for column in columns:
            after[table].loc[stays, column] = before[table].loc[stays, column]

    return change


def _same_members(before: Frames, after: Frames) -> None:
    after["members"] = before["members"].copy()
    for table in ("visits", "labels"):
        after[table]["member"] = before[table]["member"]


def _no_bonus_offline(frames: Frames) -> None:
    frames["members"].loc[~frames["members"]["online"], "bonus"] = None


def _no_bonus_offline_and_some_more(frames: Frames) -> None:
    _no_bonus_offline(frames)
    frames["members"].loc[frames["members"].index[frames["members"]["online"]][:5], "bonus"] = None


def _no_bonus_for_most_offline(frames: Frames) -> None:
    some = np.random.default_rng(3).random(len(frames["members"])) < 0.95
    frames["members"].loc[~frames["members"]["online"] & some, "bonus"] = None


def _no_bonus_in_a_region_that_is_not_always_known(frames: Frames) -> None:
    frames["members"].loc[frames["members"]["region"] == "west", "bonus"] = None
    frames["members"].loc[frames["members"].index[:20], ["region", "bonus"]] = [None, 1.5]


def _visits_grow_with_age(frames: Frames) -> None:
    frames["visits"]["visits_30d"] += frames["members"]["months_member"] // 5


def _three_in_ten_advance(before: Frames, after: Frames) -> None:
    stays = after["members"]["member"].isin(before["members"]["member"]) & (after["members"].index % 10 < 7)
    after["members"].loc[stays, "months_member"] = before["members"].loc[stays, "months_member"]


def _a_count_of_its_own(before: Frames, after: Frames, *, back: int) -> None:
    """Months as a customer, which no date explains, in place of the visits."""
    who = np.random.default_rng(5).integers(1, 500, ROWS)
    before["visits"]["visits_30d"], after["visits"]["visits_30d"] = who, who + 1
    if back:
        after["visits"].loc[after["visits"].index % back == 7, "visits_30d"] -= 2


def _begun_again(_: Frames, after: Frames) -> None:
    again = after["members"].index % 50 == 3
    after["members"].loc[again, ["joined", "months_member"]] = [np.datetime64("2025-06-29"), 0]


def _renamed(name: Callable[[str], str], before: Callable[[str], str] = str) -> Callable[[Frames, Frames], None]:
    def change(*months: Frames) -> None:
        for month, as_is in zip(months, (before, name), strict=True):
            for table in month.values():
                table["member"] = table["member"].map(as_is)

    return change


def _little_spent_is_less(_: Frames, after: Frames) -> None:
    spent = after["visits"]["spent"]
    after["visits"]["spent"] = spent.where(spent > spent.quantile(0.35), spent / 7)


def _no_bonus_without_complaints(frames: Frames) -> None:
    frames["members"].loc[frames["visits"]["complaints_90d"] == 0, "bonus"] = None


def _no_bonus_at_random(frames: Frames) -> None:
    frames["members"].loc[np.random.default_rng(3).random(len(frames["members"])) < 0.1, "bonus"] = None


def _days_without_complaints(frames: Frames) -> None:
    days = frames["visits"]["spent"].sample(frac=1, random_state=1)
    frames["visits"]["complaint_avg_days_90d"] = days.to_numpy() / 7


def _days_as_months(frames: Frames) -> None:
    age = frames["members"]["months_member"]
    frames["members"]["joined"] = np.datetime64("2022-01-31") - age.clip(upper=40).to_numpy(dtype="timedelta64[D]")


def _spent_twice(frames: Frames) -> None:
    frames["members"]["bonus"] = 3 * frames["visits"]["spent"] + 1


def _region_as_flag(frames: Frames) -> None:
    frames["members"]["online"] = frames["members"]["region"] == "north"
    frames["members"]["region"] = np.where(frames["members"]["online"], "north", "elsewhere")


def _knows_the_outcome(_: Frames, after: Frames) -> None:
    after["visits"]["spent"] += 1000 * after["labels"]["left"]


def _null_gives_it_away(_: Frames, after: Frames) -> None:
    gone = after["labels"]["left"] & (np.random.default_rng(5).random(ROWS) < 0.4)
    after["members"].loc[gone, "region"] = None


def _labels_of_the_month_before(before: Frames, after: Frames) -> None:
    after["labels"] = before["labels"].copy()
    after["labels"]["member"] = after["members"]["member"]


def _shuffled_labels(_: Frames, after: Frames) -> None:
    after["labels"]["left"] = after["labels"]["left"].sample(frac=1, random_state=1).to_numpy()


def _more_leave(_: Frames, after: Frames) -> None:
    after["labels"]["left"] |= np.random.default_rng(6).random(ROWS) < 0.2


def _others_leave(_: Frames, after: Frames) -> None:
    """Those who train much leave, and no longer those who train little; about as many as before."""
    hours = after["visits"]["gym_hours_30d"]
    after["labels"]["left"] = np.random.default_rng(8).random(ROWS) < np.where(hours > hours.quantile(0.65), 0.75, 0.07)


def _without(share: float, table: str = "visits") -> Callable[[Frames, Frames], None]:
    def change(_: Frames, after: Frames) -> None:
        after[table] = after[table].iloc[int(share * ROWS) :]

    return change


def _no_visits(frames: Frames) -> None:
    frames["visits"] = frames["visits"].iloc[:0]


def _no_bonus_before(before: Frames, _: Frames) -> None:
    before["members"]["bonus"] = None


BROKEN = {
    "a column of one value": (
        now("visits", "spent", 12.5),
        {"constant:visits.spent": "warning", "drift:visits.spent": "warning"},
    ),
    "an empty column": (
        now("members", "region", None),
        {"constant:members.region": "warning", "missing:members.region": "info", "drift:members.region": "warning"},
    ),
    "labels of one class": (
        now("labels", "left", False),
        {"constant:labels.left": "error", "label-rate:labels.left": "warning"},
    ),
    "a tenth of the rows late": (_without(0.1), {"missing-rows:visits": "warning"}),
    "a few rows late": (_without(0.004), {"missing-rows:visits": "info"}),
    "labels of some members only": (_without(0.3, "labels"), {}),
    "labels of nobody": (_without(1, "labels"), {}),
    "a table without a row": (
        both(_no_visits),
        {"missing-rows:visits": "warning"},
    ),
    "a column that was empty": (
        _no_bonus_before,
        {"drift:members.bonus": "warning", "constant:members.bonus": "warning", "missing:members.bonus": "info"},
    ),
    "nulls where a flag says so": (both(_no_bonus_offline), {"not-applicable:members.bonus": "info"}),
    "nulls where a count is zero": (both(_no_bonus_without_complaints), {"not-applicable:members.bonus": "info"}),
    "nulls that break the rule": (
        both(_no_bonus_offline_and_some_more),
        {"not-applicable:members.bonus": "info", "missing:members.bonus": "warning"},
    ),
    "nulls for most with a flag": (both(_no_bonus_for_most_offline), {"missing:members.bonus": "info"}),
    "nulls where an unknown may say so": (
        both(_no_bonus_in_a_region_that_is_not_always_known),
        {"missing:members.bonus": "info", "missing:members.region": "info"},
    ),
    "nulls by no rule": (both(_no_bonus_at_random), {"missing:members.bonus": "info"}),
    "averages of nothing": (
        both(_days_without_complaints),
        {"filled-without-count:visits.complaint_avg_days_90d": "info"},
    ),
    "a date of the very day": (
        now("members", "joined", lambda table: table["joined"].where(table.index != 3, pd.Timestamp("2025-06-30"))),
        {},
    ),
    "a date in the future": (
        now("members", "joined", lambda table: table["joined"].where(table.index != 3, pd.Timestamp("2025-07-01"))),
        {"impossible-date:members.joined": "error"},
    ),
    "a date that stands for none": (
        now("members", "joined", lambda table: table["joined"].where(table.index != 3, pd.Timestamp("1900-01-01"))),
        {"impossible-date:members.joined": "error"},
    ),
    "more hours than the window has": (
        now("visits", "gym_hours_30d", lambda table: table["gym_hours_30d"].where(table.index != 3, 721.0)),
        {"impossible-unit:visits.gym_hours_30d": "error"},
    ),
    "months counted as days": (
        both(_days_as_months),
        {"contradiction:members.months_member~members.joined": "error"},
    ),
    "a count that goes with a date, and is no count of time": (both(_visits_grow_with_age), {}),
    "the same twice, in another unit": (both(_spent_twice), {"duplicate:members.bonus~visits.spent": "warning"}),
    "the same groups twice": (both(_region_as_flag), {"duplicate:members.region~members.online": "warning"}),
    "a column that knows the outcome": (
        _knows_the_outcome,
        {"leak:visits.spent": "error", "drift:visits.spent": "warning"},
    ),
    "a table that is last month's": (
        _same_members,
        {"unchanged:members": "warning", "stands-still:members.months_member": "error"},
    ),
    "a measurement that is last month's": (
        _as_before("visits", "gym_hours_30d"),
        {"unchanged:visits.gym_hours_30d": "warning"},
    ),
    "time that stands still": (
        _as_before("members", "months_member"),
        {"stands-still:members.months_member": "error"},
    ),
    "time that goes on for three in ten": (
        _three_in_ten_advance,
        {"stands-still:members.months_member": "error"},
    ),
    "members who came, all else as it was": (
        _as_before("members", "joined", "months_member", "region", "online", "bonus"),
        {"stands-still:members.months_member": "error"},
    ),
    "time that goes back for some": (
        now("members", "months_member", lambda table: table["months_member"] - 5 * (table.index % 10 == 3)),
        {"goes-back:members.months_member": "error"},
    ),
    "time that goes back for a few": (
        now("members", "months_member", lambda table: (table["months_member"] - 5 * (table.index == 3)).clip(0)),
        {"goes-back:members.months_member": "warning"},
    ),
    "time that goes back, and no date beside it": (
        lambda before, after: _a_count_of_its_own(before, after, back=30),
        {"goes-back:visits.visits_30d": "error"},
    ),
    "time that goes on, and no date beside it": (lambda before, after: _a_count_of_its_own(before, after, back=0), {}),
    "members who have begun again": (_begun_again, {}),
    "nobody of the month before": (
        _renamed(lambda key: f"n{key}"),
        {"other-entities:member": "error"},
    ),
    "one in a hundred of the month before": (
        _renamed(lambda key: key if key.endswith("11") else f"n{key}"),
        {"other-entities:member": "error"},
    ),
    "four in ten of the month before": (
        _renamed(lambda key: key if key[-1] in "1234" else f"n{key}"),
        {"other-entities:member": "warning"},
    ),
    "ids in capitals": (_renamed(str.upper), {"ids-rewritten:member": "error"}),
    "ids without their zeros": (
        _renamed(lambda key: f"m{int(key[1:])}"),
        {"ids-rewritten:member": "error"},
    ),
    "a few ids in capitals": (
        _renamed(lambda key: key.upper() if key.endswith("77") else key),
        {"ids-rewritten:member": "error"},
    ),
    "ids of numbers": (_renamed(lambda key: f"{key}.0"), {"ids-rewritten:member": "error"}),
    "ids with a hyphen for a blank": (
        _renamed(lambda key: f"{key[:3]}-{key[3:]}", lambda key: f"{key[:3]} {key[3:]}"),
        {"ids-rewritten:member": "error"},
    ),
    "one quartile that is another": (_little_spent_is_less, {"drift:visits.spent": "warning"}),
    "cents instead of units": (
        now("visits", "spent", lambda table: 100 * table["spent"]),
        {"unit-change:visits.spent": "error", "drift:visits.spent": "warning"},
    ),
    "labels of the month before": (_labels_of_the_month_before, {"labels-repeated:labels.left": "error"}),
    "labels of other members": (
        _shuffled_labels,
        {"labels-unrelated:labels.left": "error", "concept:labels.left": "warning"},
    ),
    "more labels than before": (_more_leave, {"label-rate:labels.left": "warning"}),
    "another reason to leave": (_others_leave, {"concept:labels.left": "warning"}),
    "inputs that moved far": (
        now("visits", "visits_30d", lambda table: table["visits_30d"] + 1),
        {"drift:visits.visits_30d": "warning"},
    ),
    "inputs that moved a little": (
        now("visits", "spent", lambda table: 1.15 * table["spent"]),
        {"drift:visits.spent": "info"},
    ),
    "levels that moved": (
        now("members", "region", lambda table: table["region"].where(table.index % 2 > 0, "east")),
        {"drift:members.region": "warning"},
    ),
}


@pytest.mark.parametrize(
    ("cadence", "span"), [(Every.HOUR, "1 hours"), (Every.DAY, "24 hours"), (Every.WEEK, "7 days")]
)
def test_extracts_that_lie_close_together_may_repeat_what_takes_longer_to_change(cadence: Every, span: str) -> None:
    """Labels of the next month, counts of months and sums over months are the same an hour, a day or a week later."""
    schema = replace(GYM, cadence=Cadence(cadence, timedelta(days=30)))
    before, first = gym(0), MONTHS[0]
    after = {name: frame.copy() for name, frame in before.items()}
    after["visits"].loc[:20, "spent"] += 1
    pair = [typed_month(each, as_of, schema) for each, as_of in ((before, first), (after, cadence.after(first)))]
    alarms = {name for name, severity in found(examine(pair)).items() if severity != "info"}
    assert alarms == ({"unchanged:members"} if cadence is Every.WEEK else set())
    assert pair_of(*pair).span == span


@pytest.mark.parametrize("what", BROKEN)
def test_a_check_names_what_is_broken_and_nothing_else(what: str) -> None:
    break_it, expected = BROKEN[what]
    assert found(examined(break_it)) == expected


def test_a_null_that_gives_the_label_away_is_a_leak() -> None:
    names = found(examined(_null_gives_it_away))
    assert names["leak:members.region"] == "error"


@pytest.mark.parametrize("seed", range(10))
def test_clean_months_are_passed_in_silence(seed: int) -> None:
    assert found(examined(seed=seed)) == {}


@pytest.mark.parametrize("rows", [0, 1, 8, 40, 300])
def test_few_rows_are_no_evidence(rows: int) -> None:
    assert {name.partition(":")[0] for name in found(examined(rows=rows))} <= {"missing"}


def test_a_finding_of_several_months_is_reported_once_with_the_months() -> None:
    (record,) = examined(both(lambda frames: frames["visits"].update({"spent": [12.5] * ROWS}))).findings
    assert (record.finding.name, record.months) == ("constant:visits.spent", MONTHS)


def test_the_gravest_comes_first_and_the_acknowledged_last_of_its_kind() -> None:
    frames = [gym(0), gym(1)]
    _same_members(*frames)
    frames[1]["visits"]["spent"] *= 100
    months = [typed_month(each, as_of) for each, as_of in zip(frames, MONTHS, strict=True)]
    examination = examine(months, acknowledged=["stands-still:members.months_member"])
    kinds = [(each.finding.kind, each.acknowledged) for each in examination.findings]
    assert kinds[:2] == [("unit-change", False), ("stands-still", True)]
    assert [each.finding.kind for each in examination.stopping] == ["unit-change"]


def test_months_are_read_one_after_another_and_only_two_are_kept() -> None:
    alive: list[int] = []

    def months() -> Iterator[object]:
        for month in (0, 1, 1):
            alive.append(month)
            yield typed_month(gym(month, rows=50), MONTHS[month])

    examination = examine(months())  # type: ignore[arg-type]
    assert len(examination.months) == len(alive) == 3
    assert len(examination.newest) == 2
