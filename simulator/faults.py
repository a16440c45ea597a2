"""Rows as they are, draws -> Faults: which rows of the first delivery are late, and which of its values are wrong.

Only usage, payments and support are touched: who the users are and what they subscribed to is always known in time.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.extract_schema import RawTable
from asof.use_cases.churn.raw_schema import PAYMENTS, SUPPORT, USAGE
from simulator.draws import Bools, Draws, Ints
from simulator.observation import Rows
from simulator.plan import SimulationPlan

MISCOUNTED: Mapping[RawTable, str] = {
    USAGE: "watch_hours_30d",
    PAYMENTS: "failed_payments_90d",
    SUPPORT: "support_tickets_90d",
}
"""The tables that faults strike, and the column of each that a wrong first delivery overstates."""


@dataclass(frozen=True)
class Fault:
    """One table's faults: rows that are late, rows to be corrected (never both), and the column as first delivered."""

    table: RawTable
    column: str
    late: Bools
    corrected: Bools
    delivered: NDArray[Any]


def inject(rows: Rows, draws: Draws, plan: SimulationPlan) -> Iterator[Fault]:
    """The faults of one month, one for each table of MISCOUNTED; masks and values of shape (rows,)."""
    for table, column in MISCOUNTED.items():
        late = draws.chance(f"{table.name}/late", plan.late_share)
        corrected = draws.chance(f"{table.name}/corrected", plan.correction_share) & ~late
        surplus = np.round(1 + 9 * draws.uniform(f"{table.name}/surplus"), 2) if table is USAGE else 1
        delivered = np.round(np.where(corrected, rows[column] + surplus, rows[column]), 2)
        yield Fault(table, column, late, corrected, delivered.astype(rows[column].dtype))


def first_delivery(rows: Rows, fault: Fault) -> Rows:
    """The table as it first arrives: without the late rows, with the wrong values; shape (rows - late,)."""
    return {name: values[~fault.late] for name, values in {**rows, fault.column: fault.delivered}.items()}


def injected(rows: Rows, found: Iterable[Fault]) -> Rows:
    """What was done to the month, a row each, by slot and table: the value first delivered (none if late), the true."""
    parts = [(np.flatnonzero(fault.late | fault.corrected), fault) for fault in found]
    order = np.argsort(np.concatenate([slots for slots, _ in parts]), kind="stable")
    columns = [_struck(rows, slots, fault) for slots, fault in parts]
    joined: Rows = {name: np.ma.concatenate([part[name] for part in columns]) for name in columns[0]}  # type: ignore[no-untyped-call]
    return {name: values[order] for name, values in joined.items()}


def _struck(rows: Rows, slots: Ints, fault: Fault) -> Rows:
    late = fault.late[slots]
    return {
        "user_id": rows["user_id"][slots],
        "table": np.full(len(slots), fault.table.name),
        "column": np.full(len(slots), fault.column),
        "kind": np.where(late, "late", "corrected"),
        "delivered": np.ma.array(fault.delivered[slots], mask=late),
        "true": rows[fault.column][slots],
    }
