"""One digest for a set of rows, however they are cut and in whatever order they come; another for any other set."""

from datetime import UTC, datetime
from functools import reduce
from typing import Any

import pyarrow as arrow
from hypothesis import given
from hypothesis import strategies as st

from training.ranges.digest import EMPTY, added, rows_sum

SCHEMA = arrow.schema(
    {
        "entity": arrow.large_string(),
        "value": arrow.float64(),
        "label": arrow.bool_(),
        "detail": arrow.string(),
        "count": arrow.int64(),
        "at": arrow.timestamp("us", "UTC"),
    }
)
TEXTS = st.none() | st.text(alphabet="-|01a\né", max_size=4)
ROWS = st.fixed_dictionaries(
    {
        "entity": TEXTS,
        "value": st.none() | st.floats(allow_nan=False),
        "label": st.none() | st.booleans(),
        "detail": TEXTS,
        "count": st.none() | st.integers(-2, 2),
        "at": st.none() | st.just(datetime(2024, 1, 31, tzinfo=UTC)),
    }
)


def digest(rows: list[Any]) -> str:
    return rows_sum(arrow.Table.from_pylist(rows, SCHEMA))


def bits(row: dict[str, Any]) -> list[tuple[str, str]]:
    """What the digest tells apart: -0.0 from 0.0, too."""
    return sorted((name, repr(value)) for name, value in row.items())


@given(st.lists(ROWS, max_size=8), st.data())
def test_digests_of_any_ranges_in_any_order_add_up_to_that_of_the_whole(rows: list[Any], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    bounds = zip([0, *cuts], [*cuts, len(rows)], strict=True)
    parts = [digest(list(shuffled[low:high])) for low, high in bounds]
    assert reduce(added, parts, EMPTY) == digest(rows)


@given(st.lists(ROWS, max_size=3), st.lists(ROWS, max_size=3))
def test_other_rows_have_another_digest(rows: list[Any], others: list[Any]) -> None:
    same = sorted(map(bits, rows)) == sorted(map(bits, others))
    assert (digest(rows) == digest(others)) is same


@given(ROWS)
def test_a_row_that_comes_twice_is_told(row: dict[str, Any]) -> None:
    assert len({digest([]), digest([row]), digest([row, row]), digest([row, row, row])}) == 4
    assert digest([]) == EMPTY
