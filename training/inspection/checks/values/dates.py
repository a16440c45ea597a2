"""A month -> impossible dates: after the month's `as_of`, before 1900, or zero."""

import numpy as np

from asof.extracts.cadence import moment_text
from asof.extracts.schema import Kind
from training.inspection.finding import Finding, Severity
from training.inspection.month import Bools, Month

FIRST_DAY = np.datetime64("1900-01-02").astype("datetime64[D]").astype(int)
"""In days since 1970. Spreadsheets and databases give 1900-01-01 for no date."""


def impossible_dates(month: Month) -> list[Finding]:
    """`impossible-date:` a date after `as_of`, before 1900, or 1970-01-01 (zero as a date)."""
    findings: list[Finding] = []
    for name in month.features(Kind.DATE):
        days = month.numbers(name)
        late, ancient, zero = days > np.floor(month.as_of.timestamp() / 86_400), days < FIRST_DAY, days == 0
        if (late | ancient | zero).any():
            findings.append(_finding(month, name, late=late, ancient=ancient, zero=zero))
    return findings


def _finding(month: Month, name: str, *, late: Bools, ancient: Bools, zero: Bools) -> Finding:
    counts = {"after_as_of": int(late.sum()), "before_1900": int(ancient.sum()), "zero": int(zero.sum())}
    words = {
        "after_as_of": f"after {moment_text(month.as_of)}, the moment described",
        "before_1900": "before 1900-01-02",
        "zero": "1970-01-01, which is zero as a date",
    }
    problems = "; ".join(f"{count:,} {words[what]}" for what, count in counts.items() if count)
    return Finding(
        f"impossible-date:{name}",
        Severity.ERROR,
        f"{name} holds impossible dates: {problems}.",
        "Check the `as_of` that the extract is loaded with; a later value is knowledge of the future. Where the column "
        "has planned dates, acknowledge it.",
        {what: float(count) for what, count in counts.items()},
    )
