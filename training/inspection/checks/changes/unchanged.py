"""Two months -> tables and columns that repeat last month's values."""

from collections.abc import Mapping

import numpy as np

from asof.extracts.schema import Kind
from training.inspection.column_names import window_days
from training.inspection.finding import Finding, Severity
from training.inspection.month import Pair, table_of

MIN_ROWS = 30
DUE = 0.25
"""The share of its window after which a measured column is expected to have changed."""
USUAL_DAYS = 28
"""The window of a column whose name has none."""
MAX_TRAIT_VALUES = 5
"""A column with more distinct values is expected to change within a month."""


def changed_shares(pair: Pair) -> Mapping[str, float]:
    """For each feature column the share of changed values, among the entities with a row in both months."""
    shares: dict[str, float] = {}
    for name in pair.features():
        if name not in pair.before.columns:
            continue
        both = pair.before.rows_of(name)[pair.rows_before] & pair.after.rows_of(name)[pair.rows_after]
        if both.sum() >= MIN_ROWS:
            before, after = pair.shared(name)
            shares[name] = float(((before != after) & ~(np.isnan(before) & np.isnan(after)))[both].mean())
    return shares


def unchanged(pair: Pair) -> list[Finding]:
    """`unchanged:` a whole table with the same entities and values; or a column that is measured each month.

    Other columns (a birthday, a price) may rightly stay the same. A column is measured each month if its name ends in a
    window (`_30d`).
    """
    shares = changed_shares(pair)
    tables = dict.fromkeys(table_of(name) for name in shares)
    same = {table for table in tables if _same_table(pair, table, shares)}
    columns = [name for name, share in shares.items() if share == 0 and table_of(name) not in same]
    measured = [name for name in columns if window_days(name) and _values(pair, name) > 1 and _is_due(pair, name)]
    return [_table(pair, table) for table in tables if table in same] + [_column(pair, name) for name in measured]


def _same_table(pair: Pair, table: str, shares: Mapping[str, float]) -> bool:
    rows = [int(month.present[table].sum()) for month in (pair.before, pair.after)]
    return rows == [pair.rows_after.size] * 2 and all(shares[name] == 0 for name in shares if table_of(name) == table)


def _is_due(pair: Pair, name: str) -> bool:
    return pair.days >= DUE * (window_days(name) or USUAL_DAYS)


def _values(pair: Pair, name: str) -> int:
    values = pair.after.numbers(name)
    return int(np.unique(values[~np.isnan(values)]).size)


def _table(pair: Pair, table: str) -> Finding:
    columns = [name for name in pair.features() if table_of(name) == table]
    numbers = pair.features(Kind.INTEGER, Kind.NUMBER)
    measured = [name for name in columns if name in numbers and _is_due(pair, name)]
    return Finding(
        f"unchanged:{table}",
        Severity.WARNING if measured else Severity.INFO,
        f"{table} is the same in both extracts: the same {pair.rows_after.size:,} entities, and no value of its "
        f"{len(columns)} columns has changed in {pair.span}.",
        "Ask whether the export ran: a copy of the earlier file looks like this.",
        {"entities": float(pair.rows_after.size), "columns": float(len(columns))},
    )


def _column(pair: Pair, name: str) -> Finding:
    values = _values(pair, name)
    return Finding(
        f"unchanged:{name}",
        Severity.WARNING if values > MAX_TRAIT_VALUES else Severity.INFO,
        f"{name} is measured over {window_days(name)} days, and not one of the {pair.rows_after.size:,} entities in "
        f"both extracts has another of its {values:,} values {pair.span} later.",
        "Ask whether it is computed each time: a copy or a constant has no information on this moment.",
        {"entities": float(pair.rows_after.size), "values": float(values)},
    )
