"""Writes the folders of a month: the extract and, if the plan has them, labels, redelivery and truth.

month_000/              the extract as it first arrives
labels_000/             a month later: who has left; not for the newest month
month_000_r1/           with faults, a month later: the extract again, complete and right
truth/month_000.csv     what the business cannot know
truth/injected_000.csv  with faults: each late row and each wrong value
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from asof.extracts.schema import RawTable
from asof.use_cases.churn.raw_schema import EXTRACT, PAYMENTS, SUPPORT, USAGE
from simulator.draws import Bools, Draws, Ints
from simulator.months import Month
from simulator.observation import Rows
from simulator.plan import SimulationPlan

MISCOUNTED: Mapping[RawTable, str] = {
    USAGE: "watch_hours_30d",
    PAYMENTS: "failed_payments_90d",
    SUPPORT: "support_tickets_90d",
}
"""The tables with faults, and the column of each that a wrong first delivery overstates."""

DECIMALS: Mapping[str, int] = {
    "monthly_fee": 2,
    "total_paid": 2,
    "watch_hours_30d": 2,
    "avg_session_mins_7d": 1,
    "ticket_avg_resolution_hrs_90d": 1,
    "hours_fallen": 2,
    "logit": 10,
    "noise": 10,
    "true_probability": 10,
}
"""Decimals in the CSV files. The last bits of a logarithm differ between processors, and are left out."""


@dataclass(frozen=True)
class Fault:
    """The faults of one table: late rows, rows to be corrected (never both), and the column as first delivered."""

    table: RawTable
    column: str
    late: Bools
    corrected: Bools
    delivered: NDArray[Any]


def write_month(month: Month, plan: SimulationPlan, folder: Path) -> None:
    """Appends one month of one range of slots to the files below `folder`."""
    index, is_over = f"{month.index:03}", month.index < plan.months - 1
    faults = {fault.table: fault for fault in _faults(month.rows, month.draws, plan)} if plan.redelivers else {}
    for table in EXTRACT.tables:
        first = month.rows
        if fault := faults.get(table):  # without late rows and with wrong values
            first = {name: values[~fault.late] for name, values in {**first, fault.column: fault.delivered}.items()}
        _append_table(folder / f"month_{index}", table, first)
        if plan.redelivers and is_over:
            _append_table(folder / f"month_{index}_r1", table, month.rows)
    if faults:
        append_csv(folder / "truth" / f"injected_{index}.csv", _injected(month.rows, faults.values()))
    if is_over:
        _append_table(folder / f"labels_{index}", EXTRACT.labels, {**month.rows, EXTRACT.label: month.left})
    append_csv(folder / "truth" / f"month_{index}.csv", _truth(month))


def append_csv(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Appends rows as in the real extracts: True and False, ISO dates, no quotes; a new file starts with the names.

    UTF-8, with LF after each line; a masked value is an empty field. By Arrow, because Python's writer takes many times
    longer.
    """
    table = pa.table({name: _as_text(name, values) for name, values in columns.items()})
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(",".join(columns).encode() + b"\n")
    with path.open("ab") as file:
        pa.csv.write_csv(table, file, pa.csv.WriteOptions(include_header=False, quoting_style="none"))


def _as_text(name: str, values: NDArray[Any]) -> pa.Array:
    mask, plain = np.ma.getmaskarray(values) if np.ma.isMA(values) else None, np.ma.getdata(values)
    if plain.dtype.kind == "b":
        return pa.array(["False", "True"]).take(pa.array(plain.view(np.int8), mask=mask))
    if plain.dtype.kind == "S":
        return pa.array(plain).cast(pa.string())
    if name in DECIMALS:
        return pa.array(plain, mask=mask).cast(pa.decimal128(18, DECIMALS[name]))
    return pa.array(plain, mask=mask)


def _append_table(folder: Path, table: RawTable, rows: Rows) -> None:
    append_csv(folder / f"{table.name}.csv", {column.name: rows[column.name] for column in table.columns})


def _truth(month: Month) -> Rows:
    return {
        "user_id": month.rows["user_id"],
        "hours_fallen": month.hours_fallen,
        "logit": month.logit,
        "noise": month.noise,
        "true_probability": month.probability,
        "left": month.left,
    }


def _faults(rows: Rows, draws: Draws, plan: SimulationPlan) -> Iterator[Fault]:
    """The faults of one month, one for each table of MISCOUNTED; masks and values of shape (rows,)."""
    for table, column in MISCOUNTED.items():
        late = draws.chance(f"{table.name}/late", plan.late_share)
        corrected = draws.chance(f"{table.name}/corrected", plan.correction_share) & ~late
        surplus = np.round(1 + 9 * draws.uniform(f"{table.name}/surplus"), 2) if table is USAGE else 1
        delivered = np.round(np.where(corrected, rows[column] + surplus, rows[column]), 2)
        yield Fault(table, column, late, corrected, delivered.astype(rows[column].dtype))


def _injected(rows: Rows, faults: Iterable[Fault]) -> Rows:
    """A row for each fault, by slot and table, with the first delivered value (none if late) and the true one."""
    parts = [(np.flatnonzero(fault.late | fault.corrected), fault) for fault in faults]
    order = np.argsort(np.concatenate([slots for slots, _ in parts]), kind="stable")
    columns = [_fault_rows(rows, slots, fault) for slots, fault in parts]
    joined: Rows = {name: np.ma.concatenate([part[name] for part in columns]) for name in columns[0]}  # type: ignore[no-untyped-call]
    return {name: values[order] for name, values in joined.items()}


def _fault_rows(rows: Rows, slots: Ints, fault: Fault) -> Rows:
    late = fault.late[slots]
    return {
        "user_id": rows["user_id"][slots],
        "table": np.full(len(slots), fault.table.name),
        "column": np.full(len(slots), fault.column),
        "kind": np.where(late, "late", "corrected"),
        "delivered": np.ma.array(fault.delivered[slots], mask=late),
        "true": rows[fault.column][slots],
    }
