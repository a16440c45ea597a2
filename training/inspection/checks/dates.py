"""A month -> dates that cannot be: from after the moment that the month describes, or before anybody's records."""

import numpy as np

from asof.extract_schema import Kind
from training.inspection.finding import Finding, Severity
from training.inspection.month import Bools, Month

ANCIENT = np.datetime64("1900-01-02").astype("datetime64[D]").astype(int)
"""Up to 1900-01-01, which spreadsheets and databases give for no date at all."""


def impossible_dates(month: Month) -> list[Finding]:
    """`impossible-date:` a date after `as_of`, before 1900, or 1970-01-01 (zero as a date)."""
    found: list[Finding] = []
    for name in month.features(Kind.DATE):
        days = month.numbers(name)
        late, ancient, zero = days > np.floor(month.as_of.timestamp() / 86_400), days < ANCIENT, days == 0
        if (late | ancient | zero).any():
            found.append(_finding(month, name, late=late, ancient=ancient, zero=zero))
    return found


def _finding(month: Month, name: str, *, late: Bools, ancient: Bools, zero: Bools) -> Finding:
    counts = {"after_as_of": int(late.sum()), "before_1900": int(ancient.sum()), "zero": int(zero.sum())}
    words = {
        "after_as_of": f"after {month.as_of.date()}, the moment described",
        "before_1900": "before 1900-01-02",
        "zero": "1970-01-01, which is zero as a date",
    }
    told = "; ".join(f"{count:,} {words[what]}" for what, count in counts.items() if count)
    return Finding(
        f"impossible-date:{name}",
        Severity.ERROR,
        f"{name} holds dates that cannot be: {told}.",
        "Check the moment that the extract is loaded as of; a value from after it is knowledge of the future. A date "
        "that is planned may lie there: acknowledge it.",
        {what: float(count) for what, count in counts.items()},
    )
