"""Month -> its folders: the extract, and where the plan has them the labels, the redelivery and the truth.

month_000/            the extract as it first arrives
labels_000/           a month later: who has left; not for the newest month, whose labels nobody can know yet
month_000_r1/         a month later, where faults are switched on: the extract again, complete and right
truth/month_000.csv   what is true, and nobody in the business knows
truth/injected_000.csv  where faults are switched on: each late row and each wrong value
"""

from pathlib import Path

from asof.extract_schema import RawTable
from asof.use_cases.churn.raw_schema import EXTRACT
from simulator.csv_files import append_csv
from simulator.faults import first_delivery, inject, injected
from simulator.months import Month
from simulator.observation import Rows
from simulator.plan import SimulationPlan


def write_month(month: Month, plan: SimulationPlan, folder: Path) -> None:
    """Appends one month of one range of slots to the files below `folder`."""
    name, over = f"{month.index:03}", month.index < plan.months - 1
    struck = {fault.table: fault for fault in inject(month.rows, month.draws, plan)} if plan.redelivers else {}
    for table in EXTRACT.tables:
        first = first_delivery(month.rows, struck[table]) if table in struck else month.rows
        _append(folder / f"month_{name}", table, first)
        if plan.redelivers and over:
            _append(folder / f"month_{name}_r1", table, month.rows)
    if struck:
        append_csv(folder / "truth" / f"injected_{name}.csv", injected(month.rows, struck.values()))
    if over:
        _append(folder / f"labels_{name}", EXTRACT.labels, {**month.rows, EXTRACT.label: month.left})
    append_csv(folder / "truth" / f"month_{name}.csv", _truth(month))


def _append(folder: Path, table: RawTable, rows: Rows) -> None:
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
