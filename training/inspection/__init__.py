"""Data checks with findings: months of extracts in, an Examination out, and a page for people.

    examination = examine(months_in(folder, use_case.extract, first=day), acknowledged=use_case.acknowledged)
    refuse_unacknowledged(examination, use_case)

One file holds one kind of check, a pure function of a Month or of a Pair of months, written against the extract's
schema: none knows a table or column by its name.
"""

from training.inspection.examination import Examination, examine, refuse_unacknowledged
from training.inspection.finding import Finding, Severity
from training.inspection.gather import months_in, months_known
from training.inspection.page import page

__all__ = [
    "Examination",
    "Finding",
    "Severity",
    "examine",
    "months_in",
    "months_known",
    "page",
    "refuse_unacknowledged",
]
