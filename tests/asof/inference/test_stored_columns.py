"""StoredColumns give the same results as a StoredRow of each entity."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asof.features.feature_contract import Feature
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import Policy, StoredRow, all_present, row_moments

NOW = datetime(2026, 3, 31, tzinfo=UTC)
FEATURES = [
    Feature("senior", "users", "Bool"),
    Feature("months", "subs", "Int64"),
    Feature("fee", "subs", "Float64"),
    Feature("watched", "usage", "Float32"),
    Feature("plan", "subs", "String"),
    Feature("clicks", "usage", "Array(Int64)"),
]
POLICIES = {
    "users": Policy(None, refuses=True),
    "subs": Policy(timedelta(days=45), refuses=True),
    "usage": Policy(timedelta(days=1, microseconds=1), refuses=False),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "Bool": st.booleans(),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "Float64": st.floats(allow_nan=False),
    "Float32": st.floats(width=32, allow_nan=False),
    "String": st.text(max_size=3),
    "Array(Int64)": st.lists(st.integers(0, 3), max_size=3),
}
AGES = st.sampled_from(
    [
        timedelta(0),
        timedelta(microseconds=-1),
        timedelta(days=1),
        *(each.max_age for each in POLICIES.values() if each.max_age),
    ]
) | st.timedeltas(timedelta(days=-1), timedelta(days=60))


@st.composite
def rows(draw: st.DrawFn) -> StoredRow:
    moments = [draw(st.none() | AGES) for _ in FEATURES]
    values = [
        None if moment is None else draw(st.none() | VALUES[each.dtype])
        for each, moment in zip(FEATURES, moments, strict=True)
    ]
    return StoredRow(FEATURES, values, [None if age is None else NOW - age for age in moments])


@given(st.lists(rows(), min_size=1, max_size=5))
def test_rows_survive_the_conversion_to_columns(drawn: list[StoredRow]) -> None:
    columns = StoredColumns.from_rows(FEATURES, drawn)
    assert len(columns) == len(drawn)
    for number, row in enumerate(drawn):
        again = columns.row(number)
        assert (again.features, [*again.values], [*again.moments]) == (FEATURES, row.values, row.moments)
        assert [type(value) for value in again.values] == [type(value) for value in row.values]


@given(st.lists(rows(), min_size=1, max_size=5))
def test_all_present_agrees_with_that_of_rows(drawn: list[StoredRow]) -> None:
    policies = [POLICIES[feature.view] for feature in FEATURES]
    columns = StoredColumns.from_rows(FEATURES, drawn)
    assert columns.all_present(policies, NOW).tolist() == [all_present(row, policies, NOW) for row in drawn]


def test_values_of_some_entities_by_feature() -> None:
    moment = [NOW] * len(FEATURES)
    made = [StoredRow(FEATURES, [True, number, 0.5, 0.25, "yes", [number]], moment) for number in range(4)]
    values = StoredColumns.from_rows(FEATURES, made).values([1, 3])
    assert values["months"].tolist() == [1, 3]
    assert values["clicks"].tolist() == [[1], [3]]
    assert values["plan"].tolist() == ["yes", "yes"]


@given(st.lists(rows(), min_size=1, max_size=5))
def test_oldest_moments_agree_with_those_of_rows(drawn: list[StoredRow]) -> None:
    columns = StoredColumns.from_rows(FEATURES, drawn)
    oldest = columns.oldest_moments()
    for number, row in enumerate(drawn):
        assert columns.moments(number) == row.moments
        found = {view: moments[number].item() for view, moments in oldest.items() if not np.isnat(moments[number])}
        expected = row_moments(row.features, row.moments)["as_of"]
        assert found == {view: moment.replace(tzinfo=None) for view, moment in expected.items()}
    assert all(len(each) == 1 for each in StoredColumns.from_rows(FEATURES, []).distinct_moments().values())
