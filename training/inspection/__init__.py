"""Data checks: months of extracts -> an Examination with findings, and a page that shows it.

    examination = examine(months_in(folder, use_case.extract, first=day), acknowledged=use_case.acknowledged)
    refuse_unacknowledged(examination, use_case)

Checks are pure functions of a Month or of a Pair of months, and know a column only by the extract's schema.
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
