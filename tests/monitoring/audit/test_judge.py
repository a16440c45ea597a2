"""Findings as arrays, beside the definitions written out for one value at a time; and odd rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from monitoring.audit.findings import SERVED, Finding
from monitoring.audit.judging.judge import Asked, ViewJudge
from monitoring.audit.reading.rows import LATER, Column, ViewRows
from monitoring.audit.reading.served import NEVER, ServedValues
from training.features.datasets.point_in_time_sql import ViewSource

SOURCE = ViewSource("v", "t", {"id": "id"}, "as_of", "created_at", 0, {"x": "x"})
NOW = 1000


class Row(NamedTuple):
    entity: int
    moment: int
    created: int
    known: int
    due: int
    value: float | None


class Value(NamedTuple):
    """Served at a time; `moment` is None where there was no row."""

    entity: int
    at: int
    moment: int | None
    value: float | None


def judged(rows: Sequence[Row], values: Sequence[Value], clock: int = LATER, skew: int = 0) -> list[Finding]:
    rows = sorted(rows, key=lambda row: row[:3])
    columns = [np.array([row[place] for row in rows], dtype=np.int64) for place in range(5)]
    keys = [row[:3] for row in rows]
    order = np.array([sorted(set(keys)).index(key) + 1 for key in keys], dtype=np.int64)
    x = Column(*_arrays([row.value for row in rows]))
    view = ViewRows(SOURCE, *columns, order, {"x": x}, loads=(), materialisations=())
    moments = np.array([NEVER if each.moment is None else each.moment for each in values], dtype=np.int64)
    none = np.zeros(len(values), dtype=bool)
    served = ServedValues("x", "v", "Float64", *_arrays([each.value for each in values]), moments, none)
    entities, at = (np.array([each[place] for each in values], dtype=np.int64) for place in (0, 1))
    done = ViewJudge(view, Asked(entities, at, NOW, clock, skew)).judge(served)
    return [SERVED[code] for code in done.findings.tolist()]


def _arrays(values: Sequence[float | None]) -> tuple[Any, Any]:
    nulls = np.array([each is None for each in values], dtype=bool)
    return np.array([each or 0.0 for each in values], dtype=np.float64), nulls


def by_definition(rows: Sequence[Row], each: Value, clock: int, skew: int) -> Finding:
    """One value, from the words of `Finding`."""
    own = sorted((row for row in rows if row.entity == each.entity), key=lambda row: row[:3])
    as_of = min(each.at, clock)
    due = [row for row in own if row.moment <= clock and row.due <= each.at]
    accepted = [row for row in own if row.known <= each.at + skew and (not due or row[1:3] >= due[-1][1:3])]
    if each.moment is None:
        right = not due
    elif each.moment > as_of + skew:
        return Finding.FUTURE_VALUE
    else:
        right = any((row.moment, row.value) == (each.moment, each.value) for row in accepted)
    if right:
        snapshots = [row.moment for row in rows if max(row.known, row.moment) <= each.at and row.moment <= clock]
        limit = max(min(max(snapshots, default=NEVER), as_of), NEVER if each.moment is None else each.moment)
        now = [row for row in own if row.moment <= limit and row.known <= NOW + skew]
        newest = [row for row in now if row[1:3] == now[-1][1:3]]
        late = newest and newest[-1].known > each.at + skew and all(row.value != each.value for row in newest)
        return Finding.LATE_DATA if late else Finding.SAME
    if each.moment is None:
        return Finding.STORE_BEHIND
    of_moment = [row for row in own if row.moment == each.moment]
    known = [row for row in of_moment if row.known <= each.at + skew]
    if any(row.value == each.value for row in known):
        return Finding.STORE_BEHIND
    if any(row.value == each.value for row in of_moment):
        return Finding.FUTURE_VALUE
    return Finding.SERVING_BUG if known else Finding.UNKNOWN_VALUE


@pytest.mark.parametrize("seed", range(40))
def test_every_value_gets_the_finding_of_its_definition(seed: int) -> None:
    random = np.random.default_rng(seed)
    skew, clock = int(random.choice([0, 3])), int(random.choice([LATER, 60]))
    rows = []
    for entity in range(12):
        for _ in range(random.integers(0, 6)):
            moment = int(random.integers(0, 12)) * 10
            created = moment + int(random.integers(0, 3)) * 15
            known = created + int(random.choice([0, 0, 40]))
            due = max(known + int(random.choice([0, 5])), moment)
            value = None if random.random() < 0.1 else float(random.integers(0, 3))
            rows.append(Row(entity, moment, created, known, due, value))
    # Of one load all rows are known at once.
    times = {row[1:3]: (row.known, row.due) for row in rows}
    rows = [row._replace(known=times[row[1:3]][0], due=times[row[1:3]][1]) for row in rows]
    values = [
        Value(
            int(random.integers(0, 13)),
            int(random.integers(0, 160)),
            None if random.random() < 0.15 else int(random.integers(0, 13)) * 10,
            None if random.random() < 0.1 else float(random.integers(0, 3)),
        )
        for _ in range(300)
    ]
    expected = [by_definition(rows, each, clock, skew) for each in values]
    assert judged(rows, values, clock, skew) == expected
    assert len(set(expected)) >= 4


def test_a_view_without_rows_explains_nothing() -> None:
    values = [Value(0, 5, None, None), Value(0, 5, 3, 1.0), Value(0, 5, 9, 1.0)]
    assert judged([], values) == [Finding.SAME, Finding.UNKNOWN_VALUE, Finding.FUTURE_VALUE]
    assert judged([Row(7, 1, 1, 1, 1, 2.0)], []) == []


def test_of_two_rows_with_the_same_times_either_is_right() -> None:
    """A table that is used in place may have both, and no order between them."""
    rows = [Row(0, 1, 1, 1, 1, 2.0), Row(0, 1, 1, 1, 1, 3.0)]
    values = [Value(0, 5, 1, 2.0), Value(0, 5, 1, 3.0), Value(0, 5, 1, 4.0)]
    assert judged(rows, values) == [Finding.SAME, Finding.SAME, Finding.SERVING_BUG]


def test_a_null_differs_from_a_missing_row_and_zero_from_a_null_but_not_from_its_negative() -> None:
    rows = [Row(0, 1, 1, 1, 1, None), Row(1, 1, 1, 1, 1, 0.0)]
    values = [Value(0, 5, 1, None), Value(0, 5, None, None), Value(0, 5, 1, 0.0), Value(1, 5, 1, -0.0)]
    assert judged(rows, values) == [Finding.SAME, Finding.STORE_BEHIND, Finding.SERVING_BUG, Finding.SAME]


def test_a_correction_that_restores_the_old_value_makes_nothing_late() -> None:
    rows = [Row(0, 1, 1, 1, 1, 2.0), Row(0, 1, 8, 8, 8, 3.0), Row(0, 1, 9, 9, 9, 2.0)]
    assert judged(rows, [Value(0, 5, 1, 2.0), Value(0, 8, 1, 3.0)]) == [Finding.SAME, Finding.LATE_DATA]
