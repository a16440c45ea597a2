"""A month -> the tables that lack rows: late, or lost on the way."""

from training.inspection.finding import Finding, Severity
from training.inspection.month import Month

FEW = 0.01
"""Up to this share of entities without a row it is told, beyond it is an alarm."""


def missing_rows(month: Month) -> list[Finding]:
    """`missing-rows:` entities of the month without a row in a table; labels aside, which may come for some only."""
    labels = month.label.partition(".")[0] if month.label else None
    return [
        Finding(
            f"missing-rows:{table}",
            Severity.WARNING if absent > FEW * present.size else Severity.INFO,
            f"{absent:,} of {present.size:,} entities have no row in {table} ({absent / present.size:.2%}).",
            "Wait for the late rows and load the month again, or find out why these entities are left out: "
            "they are neither trained on nor scored.",
            {"entities": float(present.size), "without_a_row": float(absent)},
        )
        for table, present in month.present.items()
        if table != labels and (absent := int((~present).sum()))
    ]
