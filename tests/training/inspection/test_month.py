"""A month has one row per entity, and two months are compared by who is in them."""

import numpy as np
import pandas as pd
import pyarrow as arrow

from tests.kits.data.inspection import GYM, MONTHS, Frames, gym, typed_month
from training.inspection import examine
from training.inspection.gather import ARROW_TYPES
from training.inspection.month import Month, month_of, pair_of

ROWS = 60


def month(frames: Frames, number: int = 1) -> Month:
    return typed_month(frames, MONTHS[number])


def delivered(*deliveries: Frames) -> Month:
    tables = {}
    for table in (*GYM.tables, GYM.labels):
        fields = arrow.schema([(column.name, ARROW_TYPES[column.kind]) for column in table.columns])
        parts = [each[table.name] for each in deliveries]
        tables[table.name] = [arrow.Table.from_pandas(part, fields, preserve_index=False) for part in parts]
    return month_of(GYM, MONTHS[1], tables)


def test_the_newest_delivery_of_a_row_counts() -> None:
    first, second = gym(1, rows=ROWS), gym(1, rows=ROWS)
    second["visits"] = second["visits"].iloc[:20].assign(spent=1.5)
    spent = delivered(first, second).numbers("visits.spent")
    assert (spent[:20] == 1.5).all()
    assert np.array_equal(spent[20:], first["visits"]["spent"][20:])


def test_what_is_missing_is_nan_whatever_its_kind() -> None:
    frames = gym(1, rows=ROWS)
    frames["members"].loc[3, ["joined", "region"]] = None
    broken = month(frames)
    for name in ("members.joined", "members.region"):
        assert np.flatnonzero(np.isnan(broken.numbers(name))).tolist() == [3]


def test_the_label_is_no_feature() -> None:
    assert "labels.left" in month(gym(1, rows=ROWS)).columns
    assert "labels.left" not in month(gym(1, rows=ROWS)).features()


def test_months_are_compared_by_entity_and_by_text_in_whatever_order_they_come() -> None:
    before = gym(0, rows=ROWS)
    after = {name: frame.iloc[::-1].iloc[:40] for name, frame in before.items()}
    after["members"] = pd.concat([after["members"].iloc[:5].assign(member="new", region="east"), after["members"]])
    pair = pair_of(month(before, 0), month(after))
    assert pair.rows_after.size == 40
    for name in ("members.region", "visits.spent", "labels.left"):
        then, now = pair.shared(name)
        assert np.array_equal(then, now)
    assert len(set(pair.numbers("members.region")[1])) == 4


def test_an_outline_counts_the_labels_that_are_known() -> None:
    frames = gym(1, rows=ROWS)
    frames["labels"] = frames["labels"].iloc[:45].assign(left=[True] * 9 + [False] * 36)
    (outline,) = examine([month(frames)]).months
    assert (outline.entities, outline.labels, outline.label_rate) == (60, 45, 0.2)


def test_a_finding_of_several_months_has_the_figures_of_the_newest() -> None:
    frames = [gym(number, rows=ROWS) for number in (0, 1)]
    for late, each in zip((20, 10), frames, strict=True):
        each["visits"] = each["visits"].iloc[late:]
    findings = examine(month(each, number) for number, each in enumerate(frames)).findings
    (rows,) = (each for each in findings if each.finding.name == "missing-rows:visits")
    assert (rows.months, rows.finding.figures["without_a_row"]) == (MONTHS, 10)
