"""Two values that should be the same -> in what way they differ, as a developer would say it."""

from collections.abc import Mapping
from math import isclose, isfinite
from typing import Any

import numpy as np

SINGLE = float(np.finfo(np.float32).max)
FACTORS: Mapping[float, str] = {
    100.0: "100 (percent or cents)",
    10.0: "10",
    1000.0: "1,000",
    60.0: "60 (seconds or minutes)",
    3600.0: "3,600 (seconds in hours)",
    24.0: "24 (hours in days)",
    1440.0: "1,440 (minutes in days)",
    86400.0: "86,400 (seconds in days)",
    7.0: "7 (days in weeks)",
    12.0: "12 (months in years)",
    1024.0: "1,024",
}
"""Factors that stand for another unit."""


def difference(served: Any, row: Any, others: Mapping[str, Any]) -> str:
    """A clause on the served value beside the row's; `others` are the row's other features."""
    if served is None or row is None:
        return "a null was served for a value" if served is None else "a value was served for a null"
    if isinstance(served, bool):
        return "the opposite was served"
    if isinstance(served, str):
        return _of_text(served, row) or _swapped(served, others) or "another text was served"
    return _of_number(float(served), float(row)) or _swapped(served, others) or "another number was served"


def _of_text(served: str, row: str) -> str:
    if served.strip() == row.strip():
        return "blanks around the text differ"
    if served.casefold() == row.casefold():
        return "the case of letters differs"
    if served and row.startswith(served):
        return "the text was cut"
    return "the text was decoded otherwise" if _mojibake(served) == row or _mojibake(row) == served else ""


def _mojibake(text: str) -> str | None:
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return None


def _of_number(served: float, row: float) -> str:
    if not (isfinite(served) and isfinite(row)):
        return ""
    if abs(row) < SINGLE and served == float(np.float32(row)):
        return "type: it was rounded to single precision"
    if served == int(row):
        return "type: the fraction was cut off"
    if served == round(row):
        return "type: it was rounded to an integer"
    if row and served == -row:
        return "the sign differs"
    for factor, name in FACTORS.items():
        if row and isclose(served, row * factor, rel_tol=1e-6):
            return f"unit: it is {name} times the row's"
        if row and isclose(served, row / factor, rel_tol=1e-6):
            return f"unit: it is the row's divided by {name}"
    return ""


def _swapped(served: Any, others: Mapping[str, Any]) -> str:
    same = [name for name, value in others.items() if type(value) is type(served) and value == served]
    return f"it is the row's {same[0]}" if len(same) == 1 else ""
