"""A month -> tables that lack rows, and columns that hold a single value or none."""

import numpy as np

from training.inspection.finding import Finding, Severity
from training.inspection.month import Month, table_of

WARNING_SHARE = 0.01
"""The share of entities without a row above which the finding is a warning."""
MIN_ROWS = 30


def missing_rows(month: Month) -> list[Finding]:
    """`missing-rows:` entities without a row in a table; the table of labels, which may be incomplete, is left out."""
    labels = table_of(month.label) if month.label else None
    return [
        Finding(
            f"missing-rows:{table}",
            Severity.WARNING if absent > WARNING_SHARE * present.size else Severity.INFO,
            f"{absent:,} of {present.size:,} entities have no row in {table} ({absent / present.size:.2%}).",
            "Wait for the late rows and load them, or find out why these entities are left out: "
            "they are neither trained on nor scored.",
            {"entities": float(present.size), "without_a_row": float(absent)},
        )
        for table, present in month.present.items()
        if table != labels and (absent := int((~present).sum()))
    ]


def constant_columns(month: Month) -> list[Finding]:
    """`constant:` the same value in every row, or none at all; an error for the label."""
    return [finding for name in month.columns if (finding := _constant(month, name))]


def _constant(month: Month, name: str) -> Finding | None:
    values = month.numbers(name)[month.rows_of(name)]
    known = values[~np.isnan(values)]
    if values.size < MIN_ROWS or (known.size and known.min() < known.max()):
        return None
    if known.size:
        what = f"holds one value, {month.frame[name].dropna().iloc[0]}, in all {known.size:,} rows that have one"
    else:
        what = f"is empty in all {values.size:,} rows"
    return Finding(
        f"constant:{name}",
        Severity.ERROR if name == month.label else Severity.WARNING,
        f"{name} {what}.",
        "Leave it out of the features, and ask its owner whether the extract fills it with a default.",
        {"rows": float(values.size), "filled": float(known.size)},
    )
