"""Inputs of many entities equal those of each alone, for any stored values."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asof.errors import AsOfError
from asof.features.feature_contract import Feature, FeatureContract
from asof.inference.ranges import TrainingRanges
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import Policy, StoredRow
from asof.serving.features.inputs import ModelInput
from asof.serving.features.store_input import StoreInput
from asof.serving.logs.metrics import Metrics
from asof.settings import Settings
from asof.use_cases.churn.payloads import ChurnRequest
from tests.kits.service.serving import facts_of

NOW = datetime(2026, 3, 31, tzinfo=UTC)
FEATURES = (
    Feature("months", "subs", "Int64"),
    Feature("senior", "users", "Bool"),
    Feature("plan", "subs", "String"),
    Feature("watched", "usage", "Float64"),
)
DAYS = timedelta(days=45)
POLICIES = [Policy(DAYS, refuses=True), Policy(None, refuses=True), Policy(DAYS, refuses=True), Policy(DAYS, False)]
VALUES: list[st.SearchStrategy[Any]] = [
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from("ab"),
    st.floats(0, 1) | st.just(inf),
]
MOMENTS = st.sampled_from([NOW - timedelta(days=10)] * 6 + [NOW - timedelta(days=60), NOW + timedelta(days=1), None])


class FakeFeatures:
    """OnlineFeatures with these rows by entity."""

    contract = FeatureContract("churn_v2", "user_id", FEATURES)
    policies = POLICIES

    def __init__(self, rows: dict[str, StoredRow]) -> None:
        self._rows = rows

    async def lookup(self, entity: str) -> StoredRow:
        return self._rows[entity]

    async def lookup_many(self, entities: Sequence[str]) -> StoredColumns:
        return StoredColumns.from_rows(FEATURES, [self._rows[entity] for entity in entities])


@st.composite
def rows(draw: st.DrawFn) -> StoredRow:
    moments = [draw(MOMENTS) for _ in FEATURES]
    values = [None if moment is None else draw(st.none() | kind) for moment, kind in zip(moments, VALUES, strict=True)]
    return StoredRow(FEATURES, values, moments)


good = st.builds(
    lambda *values: StoredRow(FEATURES, values, [NOW - timedelta(days=each) for each in (3, 1, 2, 1)]), *VALUES
)
METRICS = Metrics()
RANGES = {"months": (0.0, 7.0), "senior": (0.0, 1.0), "watched": (0.25, 1.0)}
FACTS = facts_of(FeatureContract("churn_v2", "user_id", FEATURES))
TRAINED = TrainingRanges(replace(FACTS, ranges=RANGES, categories={"plan": ("a",)}))


async def alone(by: StoreInput, request: ChurnRequest) -> ModelInput | tuple[type, str, Any]:
    try:
        return await by.read(request, TRAINED)
    except AsOfError as error:
        return described(error)


def described(error: AsOfError) -> tuple[type, str, Any]:
    return type(error), str(error), vars(error)


@given(st.lists(rows() | good, min_size=1, max_size=6))
def test_many_are_judged_as_each_alone(found: list[StoredRow]) -> None:
    held: Any = FakeFeatures({str(number): row for number, row in enumerate(found)})
    by = StoreInput(Settings(clock=NOW), held, METRICS)
    requests = [ChurnRequest(user_id=str(number)) for number in range(len(found))]

    async def ask() -> tuple[list[Any], Any]:
        return [await alone(by, each) for each in requests], (await by.look_up(requests, TRAINED))()

    singles, many = asyncio.run(ask())
    accepted = [place for place, each in enumerate(singles) if isinstance(each, ModelInput)]
    assert list(many.accepted) == accepted
    for place, single in enumerate(singles):
        if isinstance(single, ModelInput):
            row = accepted.index(place)
            assert many.judged[place] == single.evidence
            assert {name: values[row] for name, values in many.values.items()} == single.values
        else:
            assert described(many.judged[place]) == single


def test_rows_of_a_batch_have_the_oldest_moment_of_each_view_and_their_own_where_they_differ() -> None:
    day = timedelta(days=1)
    values = [1, True, "a", 0.5]
    alike, written = [NOW - day] * 4, [NOW - day, NOW - day, NOW, NOW - day]
    found = {
        str(number): StoredRow(FEATURES, values, moments) for number, moments in enumerate([alike, written, alike])
    }
    held: Any = FakeFeatures(found)
    by = StoreInput(Settings(clock=NOW), held, METRICS)
    many = asyncio.run(by.look_up([ChurnRequest(user_id=user) for user in found], TRAINED))()
    as_of = dict.fromkeys(("subs", "users", "usage"), NOW - day)
    assert many.judged[0] == many.judged[2] == {"as_of": as_of, "flags": []}
    assert many.judged[0] is many.judged[2], "rows with equal moments share one object"
    assert many.judged[1] == {"as_of": as_of, "as_of_features": {"months": NOW - day, "plan": NOW}, "flags": []}
