"""For tests of the data checks: a made-up business whose months are clean, and a way to break one."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as arrow

from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable
from training.data.extracts.cell_types import ARROW_TYPES
from training.inspection import Examination, examine
from training.inspection.month import Month, month_of

MONTHS = (datetime(2025, 5, 31, tzinfo=UTC), datetime(2025, 6, 30, tzinfo=UTC))
ROWS = 1500

KEY = Column("member", Kind.TEXT)
MEMBERS = RawTable(
    "members",
    (
        KEY,
        Column("joined", Kind.DATE),
        Column("months_member", Kind.INTEGER),
        Column("region", Kind.TEXT, nullable=True),
        Column("online", Kind.BOOLEAN),
        Column("bonus", Kind.NUMBER, nullable=True),
    ),
)
VISITS = RawTable(
    "visits",
    (
        KEY,
        Column("gym_hours_30d", Kind.NUMBER),
        Column("visits_30d", Kind.INTEGER),
        Column("spent", Kind.NUMBER),
        Column("complaints_90d", Kind.INTEGER),
        Column("complaint_avg_days_90d", Kind.NUMBER),
    ),
)
LABELS = RawTable("labels", (KEY, Column("left", Kind.BOOLEAN)))
GYM = ExtractSchema("member", "members", (MEMBERS, VISITS), LABELS, "left")

Frames = dict[str, pd.DataFrame]
Break = Callable[[Frames, Frames], None]
"""Changes the frames of the month before and of the month, in place."""


def gym(month: int, *, rows: int = ROWS, seed: int = 0) -> Frames:
    """A clean month (0 or 1) of `rows` members; a twentieth of the first month's are replaced in the second."""
    who = np.random.default_rng([seed, 1])
    age, nature = who.integers(2, 1500, rows), who.normal(size=rows)
    region, online = who.choice(["north", "south", "west"], rows), who.random(rows) < 0.4
    now = np.random.default_rng([seed, 2, month])
    joined = np.datetime64("2025-05-31") - age
    as_of = np.datetime64(MONTHS[month].date())
    complaints = now.poisson(0.6, rows)
    days = np.where(complaints > 0, now.gamma(3.0, 2.0, rows), 0.0)
    hours = np.clip(20 + 6 * nature + 4 * now.normal(size=rows), 0.1, 200)
    left = now.random(rows) < 1 / (1 + np.exp(1.2 + 1.4 * nature - 0.3 * complaints))
    key = [f"m{i + (rows if month and i % 20 == 0 else 0):06}" for i in range(rows)]
    members = {
        "joined": joined,
        "months_member": ((as_of - joined).astype(int) / 30.4375).astype(int),
        "region": region,
        "online": online,
        "bonus": now.gamma(2.0, 5.0, rows),
    }
    visits = {
        "gym_hours_30d": hours,
        "visits_30d": now.poisson(8, rows),
        "spent": now.gamma(2.0, 20.0, rows),
        "complaints_90d": complaints,
        "complaint_avg_days_90d": days,
    }
    tables = {"members": members, "visits": visits, "labels": {"left": left}}
    return {name: pd.DataFrame({"member": key} | columns) for name, columns in tables.items()}


def typed_month(frames: Mapping[str, pd.DataFrame], as_of: datetime, schema: ExtractSchema = GYM) -> Month:
    """The frames as the readers of extracts give them."""
    tables = {table.name: table for table in (*schema.tables, schema.labels)}
    return month_of(schema, as_of, {name: [_arrow(frame, tables[name])] for name, frame in frames.items()})


def _arrow(frame: pd.DataFrame, table: RawTable) -> arrow.Table:
    fields = arrow.schema([(column.name, ARROW_TYPES[column.kind]) for column in table.columns])
    return arrow.Table.from_pandas(frame, fields, preserve_index=False)


def months(break_it: Break | None = None, *, rows: int = ROWS, seed: int = 0) -> list[Month]:
    """Both months, broken or clean."""
    frames = [gym(month, rows=rows, seed=seed) for month in (0, 1)]
    if break_it:
        break_it(*frames)
    return [typed_month(each, as_of) for each, as_of in zip(frames, MONTHS, strict=True)]


def examined(break_it: Break | None = None, *, rows: int = ROWS, seed: int = 0) -> Examination:
    """Both months, broken or clean, through every check."""
    return examine(months(break_it, rows=rows, seed=seed))


def found(examination: Examination) -> dict[str, str]:
    """Name -> severity of everything that was found."""
    return {each.finding.name: str(each.finding.severity) for each in examination.findings}
