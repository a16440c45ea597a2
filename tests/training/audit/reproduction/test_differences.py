"""Two sets of rows, cell by cell: whatever changes the rows' digest is listed, and nothing else."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from asof.features.feature_contract import Feature, FeatureContract
from tests.kits.models.training import JANUARY, KNOWN_AT
from training.audit.reproduction.differences import Difference, compare_rows
from training.features.datasets.rows_digest import rows_digest
from training.features.datasets.training_set import TrainingSet, canonical_frame, column_types, table_of

CONTRACT = FeatureContract(
    "any", "user_id", tuple(Feature(kind.lower(), "", kind) for kind in ("Float64", "Int64", "Bool", "String"))
)
FRAME = canonical_frame(
    pd.DataFrame(
        {
            "user_id": ["a", "b", "c"],
            "float64": [0.0, np.nan, 1.5],
            "int64": pd.array([2**62 + 1, None, 3], "Int64"),
            "bool": [True, None, False],
            "string": ["", None, "x"],
            "left": [True, False, True],
        }
    ).astype({"bool": "boolean"}),
    CONTRACT,
    "left",
)


def set_of(frame: pd.DataFrame) -> TrainingSet:
    digest = rows_digest([table_of(frame, CONTRACT, "left")], column_types(CONTRACT, "left"), key=["user_id"])
    return TrainingSet(frame, CONTRACT, "left", JANUARY, KNOWN_AT, fingerprint="", rows_digest=digest)


def changed(entity: int, column: str, value: Any) -> pd.DataFrame:
    frame = FRAME.copy()
    frame.loc[entity, column] = value
    return frame


CHANGES: list[tuple[int, str, Any, Any]] = [
    (0, "float64", 0.0, -0.0),
    (2, "float64", 1.5, float(np.nextafter(1.5, 2))),
    (1, "float64", None, 0.0),
    (0, "int64", 2**62 + 1, 2**62),
    (1, "int64", None, 0),
    (2, "int64", 3, None),
    (2, "bool", False, None),
    (1, "bool", None, False),
    (0, "string", "", None),
    (2, "string", "x", "X"),
    (1, "left", False, True),
]


@pytest.mark.parametrize(("row", "column", "then", "now"), CHANGES)
def test_each_cell_that_changes_the_digest_is_named(row: int, column: str, then: Any, now: Any) -> None:
    before, after = set_of(FRAME), set_of(changed(row, column, now))
    assert before.rows_digest != after.rows_digest
    found = compare_rows(FRAME, after)
    assert [(each.entity, each.column, repr(each.then), repr(each.now)) for each in found.first] == [
        (FRAME["user_id"][row], column, repr(then), repr(now))
    ]
    assert (found.rows_gone, found.rows_new, found.rows_changed, found.cells_changed) == (0, 0, 1, {column: 1})


def test_the_same_rows_do_not_differ() -> None:
    assert not any(vars(compare_rows(FRAME.copy(), set_of(FRAME))).values())


def test_rows_that_are_gone_or_new_are_reported_by_their_label_in_order_with_the_rest() -> None:
    after = changed(2, "int64", 4).drop(index=1)
    after = canonical_frame(pd.concat([after, FRAME.iloc[:1].assign(user_id="aa")]), CONTRACT, "left")
    found = compare_rows(FRAME, set_of(after))
    assert found.first == (
        Difference("aa", "left", None, True),
        Difference("b", "left", False, None),
        Difference("c", "int64", 3, 4),
    )
    assert (found.rows_gone, found.rows_new, found.rows_changed) == (1, 1, 1)


def test_only_the_first_are_reported_and_all_are_counted() -> None:
    users = [f"{number:03}" for number in range(300)]
    frame = pd.concat([FRAME.iloc[:1]] * 300, ignore_index=True).assign(user_id=users)
    found = compare_rows(frame, set_of(frame.assign(float64=1.0, string="y")))
    assert (found.rows_changed, found.cells_changed) == (300, {"float64": 300, "string": 300})
    assert [each.entity for each in found.first] == [user for user in users[:10] for _ in range(2)]


def test_a_column_that_only_one_side_has_is_left_out_and_another_type_is_compared_by_value() -> None:
    before = FRAME.drop(columns="string").astype({"int64": "float64"})
    found = compare_rows(before, set_of(changed(2, "int64", 4)))
    assert [(each.entity, each.column, each.then, each.now) for each in found.first] == [
        ("a", "int64", float(2**62), 2**62 + 1),
        ("c", "int64", 3.0, 4),
    ]
