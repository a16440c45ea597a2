"""Unacknowledged errors, and no other findings, stop the training."""

from collections.abc import Collection

import pytest

from asof.errors import InspectionError
from asof.use_cases import load
from tests.kits.data.inspection import Frames, found, months
from training.inspection import Examination, examine, refuse_unacknowledged

CHURN = load("churn")
HOURS, VISITS = "impossible-unit:visits.gym_hours_30d", "unit-change:visits.spent"


def two_errors_a_warning_and_a_fact(_: Frames, after: Frames) -> None:
    after["visits"].loc[700, "gym_hours_30d"] = 721.0
    after["visits"]["spent"] *= 100
    after["visits"] = after["visits"].iloc[5:]


def broken(acknowledged: Collection[str] = ()) -> Examination:
    return examine(months(two_errors_a_warning_and_a_fact), acknowledged=acknowledged)


def test_every_unacknowledged_error_is_named_with_its_advice_and_nothing_else() -> None:
    with pytest.raises(InspectionError, match="as of 2025-06-30; nothing was trained") as refused:
        refuse_unacknowledged(broken(), CHURN)
    assert set(refused.value.names) == {HOURS, VISITS}
    lines = [line for line in str(refused.value).splitlines() if line.startswith("- ")]
    assert {line.split(" ")[1].removesuffix(":") for line in lines} == {HOURS, VISITS}
    assert "Have the extract delivered again in the old unit" in str(refused.value)


def test_an_acknowledgement_lets_one_finding_pass_and_no_other_of_the_kind() -> None:
    examination = broken(acknowledged=[HOURS, "unit-change:visits.visits_30d"])
    with pytest.raises(InspectionError) as refused:
        refuse_unacknowledged(examination, CHURN)
    assert refused.value.names == (VISITS,)
    assert [each.finding.name for each in examination.alarms] == [VISITS, "drift:visits.spent"]


def test_warnings_stop_nothing_once_the_errors_are_acknowledged() -> None:
    examination = broken(acknowledged=[HOURS, VISITS])
    refuse_unacknowledged(examination, CHURN)
    assert [each.finding.name for each in examination.alarms] == ["drift:visits.spent"]
    assert found(examination)["missing-rows:visits"] == "info"
