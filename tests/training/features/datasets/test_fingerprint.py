"""The fingerprint of a training set: every part of what defined it is in it, and its value is pinned."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.kits.models.training import SMALL
from training.features.datasets.dataset import fingerprint
from training.features.datasets.rows_digest import rows_digest
from training.features.datasets.training_set import canonical_frame, column_types, frame_of, table_of

PARTS: dict[str, Any] = {
    "rows_digest": "0" * 64,
    "contract": SMALL,
    "as_of": datetime(2024, 1, 31, tzinfo=UTC),
    "known_at": datetime(2024, 2, 29, tzinfo=UTC),
    "definition": "SELECT 1",
}
HOURS, *OTHERS = SMALL.features
GOLDEN = "ceed65271a58f339b929c5689ab143ab77073d9ec092d839e3e541f5434adfd1"


def test_its_value_is_pinned() -> None:
    assert fingerprint(**PARTS) == GOLDEN


@pytest.mark.parametrize(
    "part",
    [
        {"rows_digest": "1" + "0" * 63},
        {"as_of": PARTS["as_of"] + timedelta(microseconds=1)},
        {"known_at": PARTS["known_at"] + timedelta(microseconds=1)},
        {"definition": "SELECT 1 "},
        {"contract": replace(SMALL, feature_service="small_v2")},
        {"contract": replace(SMALL, features=(replace(HOURS, view="other_fv"), *OTHERS))},
        {"contract": replace(SMALL, features=(replace(HOURS, dtype="Int64"), *OTHERS))},
        {"contract": replace(SMALL, features=(*OTHERS, HOURS))},
        {"as_of": PARTS["known_at"], "known_at": PARTS["as_of"]},
    ],
)
def test_each_part_changes_it(part: dict[str, Any]) -> None:
    assert fingerprint(**PARTS | part) != fingerprint(**PARTS)


def test_a_moment_is_the_same_in_every_zone() -> None:
    elsewhere = PARTS["as_of"].astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert fingerprint(**PARTS | {"as_of": elsewhere}) == fingerprint(**PARTS)


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": ["b", "a", "\u00e4", "Z"],
            "hours": [0.5, np.nan, -0.0, 1e300],
            "tickets": pd.array([1, None, 3, 2**62 + 1], dtype="Int64"),
            "paperless": pd.array([True, None, False, True], dtype="boolean"),
            "plan": ["yearly", None, "", "monthly"],
            "left": [True, False, True, False],
        }
    )


def digest(rows: pd.DataFrame) -> str:
    table = table_of(canonical_frame(rows, SMALL, "left"), SMALL, "left")
    return rows_digest([table], column_types(SMALL, "left"), key=["user_id"])


def test_the_order_of_a_frames_rows_and_columns_does_not_change_the_digest() -> None:
    orders = (frame(), frame().iloc[::-1], frame().sample(frac=1, random_state=3), frame()[frame().columns[::-1]])
    assert len({digest(each) for each in orders}) == 1


def test_how_pandas_keeps_a_frames_columns_does_not_change_the_digest() -> None:
    whole = frame().dropna()
    plain = whole.astype({"tickets": "int64", "paperless": "bool"})
    nullable = whole.astype({"user_id": "string", "plan": "string", "hours": "Float64", "left": "boolean"})
    numbers = whole.astype({"tickets": "object", "paperless": "object", "left": "object"})
    assert len({digest(each) for each in (whole, plain, nullable, numbers)}) == 1


def test_rows_become_a_frame_and_rows_again() -> None:
    rows = table_of(canonical_frame(frame(), SMALL, "left"), SMALL, "left")
    back = frame_of(rows, SMALL, "left")
    pd.testing.assert_frame_equal(back, canonical_frame(frame(), SMALL, "left"))
    assert table_of(back, SMALL, "left").equals(rows)
