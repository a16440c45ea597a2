"""A model that fails at one row, or gives what is no probability, spoils only that row."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest

from asof.features.feature_contract import Feature, FeatureContract
from asof.features.join_keys import JoinKey, JoinKeys
from asof.inference.served_model import ServedModel
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import Policy, StoredRow
from tests.kits.service.serving import facts_of
from training.scoring.judging import judge_chunk, moments_text, refusals
from training.scoring.reading import Chunk

NOW = datetime(2026, 3, 31, tzinfo=UTC)
FEATURES = (Feature("hours", "usage", "Float64"), Feature("tickets", "support", "Int64"))
POLICIES = [Policy(timedelta(days=45), refuses=True), Policy(timedelta(days=45), refuses=False)]


class Odd:
    """Gives the hours for a probability, and fails at negative ones: at the whole batch that holds one."""

    name, blocking = "odd", False

    def __init__(self) -> None:
        self.asked: list[int] = []

    def predict(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> list[float]:
        self.asked.append(len(arrays["hours"]))
        if (arrays["hours"] < 0).any():
            raise ValueError("hours below nothing")
        return list(map(float, arrays["hours"]))


def chunk(hours: Sequence[float | None], ages: Sequence[int | None] = ()) -> Chunk:
    """A user for each: the age in days of what is known of the support, None where there is no row."""
    moments = [NOW if age is None else NOW - timedelta(days=age) for age in ages] or [NOW] * len(hours)
    rows = [StoredRow(FEATURES, [value, 1], [NOW, moment]) for value, moment in zip(hours, moments, strict=True)]
    entities = arrow.array([f"user-{number}" for number in range(len(rows))], arrow.large_string())
    return Chunk(entities, StoredColumns.from_rows(FEATURES, rows), JoinKeys((JoinKey("user_id"),)))


def model(runtime: Odd) -> ServedModel:
    return ServedModel(runtime, facts_of(FeatureContract("odd_v1", "user_id", FEATURES)), {})


@pytest.mark.parametrize("at", [0, 499, 999])
def test_one_row_that_the_model_fails_at_spoils_only_itself(at: int) -> None:
    hours = [0.5] * 1000
    hours[at] = -1.0
    runtime = Odd()
    judged = judge_chunk(chunk(hours), model(runtime), POLICIES, NOW)
    assert judged.codes == [("internal-error" if number == at else None) for number in range(1000)]
    assert judged.details[at] == "The model failed (ValueError): hours below nothing"
    assert judged.flags[at] is None
    assert np.isnan(judged.predictions).tolist() == [number == at for number in range(1000)]
    assert len(runtime.asked) < 25  # halves, and not row by row
    assert refusals(judged) == {"internal-error": 1}


@pytest.mark.parametrize("odd", [1.5, 1e300])
def test_an_invalid_probability_is_reported_for_its_row(odd: float) -> None:
    judged = judge_chunk(chunk([0.25, odd, 1.0]), model(Odd()), POLICIES, NOW)
    assert judged.codes == [None, "internal-error", None]
    assert (
        judged.details[1]
        == f"The model failed (ArithmeticError): The model returned {odd}, which is not a probability."
    )
    assert judged.predictions[[0, 2]].tolist() == [0.25, 1.0]


def test_the_model_sees_only_those_whom_it_may_see() -> None:
    runtime = Odd()
    judged = judge_chunk(chunk([0.1, None, 0.3, None], ages=[0, 0, 46, 46]), model(runtime), POLICIES, NOW)
    assert judged.codes == [None, "missing-features", None, "missing-features"]
    assert judged.predictions[[0, 2]].tolist() == [0.1, 0.3]
    assert "'user-1' is known, but hours is null" in (judged.details[1] or "")
    assert judged.flags[0] == "[]"
    assert '"verdict": "STALE", "age_days": 46.0' in (judged.flags[2] or "")
    assert runtime.asked == [2]


def test_without_users_the_model_is_not_called() -> None:
    runtime = Odd()
    assert judge_chunk(chunk([None]), model(runtime), POLICIES, NOW).codes == ["missing-features"]
    assert runtime.asked == []


def test_users_with_the_same_gaps_are_each_named() -> None:
    judged = judge_chunk(chunk([None, None]), model(Odd()), POLICIES, NOW)
    assert [(detail or "").split()[0] for detail in judged.details] == ["'user-0'", "'user-1'"]


def test_each_user_has_the_moment_of_each_view_with_a_row() -> None:
    rows = [(NOW, None), (NOW, NOW), (NOW - timedelta(microseconds=1), None), (None, None), (NOW, None)]
    found = StoredColumns.from_rows(FEATURES, [StoredRow(FEATURES, [1.0, 1], list(moments)) for moments in rows])
    assert moments_text(found).to_pylist() == [
        '{"usage": "2026-03-31T00:00:00Z"}',
        '{"usage": "2026-03-31T00:00:00Z", "support": "2026-03-31T00:00:00Z"}',
        '{"usage": "2026-03-30T23:59:59.999999Z"}',
        "{}",
        '{"usage": "2026-03-31T00:00:00Z"}',
    ]


def test_a_view_whose_values_differ_in_age_is_as_old_as_the_oldest() -> None:
    features = (FEATURES[0], Feature("clicks", "usage", "Int64"))
    rows = [(NOW, NOW), (NOW - timedelta(days=4), NOW), (NOW, NOW - timedelta(days=4)), (None, NOW)]
    found = StoredColumns.from_rows(features, [StoredRow(features, [1.0, 1], list(moments)) for moments in rows])
    assert [json.loads(each)["usage"][:10] for each in moments_text(found).to_pylist()] == [
        "2026-03-31",
        "2026-03-27",
        "2026-03-27",
        "2026-03-31",
    ]


def test_values_unlike_those_of_training_are_flagged_and_scored_as_the_service_does() -> None:
    hours = chunk([0.5, 0.9, inf, 0.5, None], ages=[0, 0, 0, 46, 0])
    odd = model(Odd())
    trained = replace(odd, facts=replace(odd.facts, ranges={"hours": (0.25, 0.75), "tickets": (2.0, 2.0)}))
    judged = judge_chunk(hours, trained, POLICIES, NOW)
    assert judged.codes == [None, None, "missing-features", None, "missing-features"]
    assert judged.details[2] == "'user-2' is known, but hours is infinite: load the missing values."
    flags = [each and json.loads(each) for each in judged.flags]
    single = {"feature": "tickets", "view": "support", "verdict": "OUTSIDE", "value": 1.0, "ranges_away": None}
    single |= {"trained_from": 2.0, "trained_to": 2.0}
    far = {"feature": "hours", "view": "usage", "verdict": "OUTSIDE", "value": 0.9, "ranges_away": pytest.approx(0.3)}
    far |= {"trained_from": 0.25, "trained_to": 0.75}
    stale = {"feature": "tickets", "view": "support", "verdict": "STALE", "age_days": 46.0, "max_age_days": 45.0}
    assert flags == [[single], [far, single], None, [stale, single], None]
    assert judged.predictions[[0, 1, 3]].tolist() == [0.5, 0.9, 0.5]
