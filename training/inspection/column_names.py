"""Conventions in column names, in any schema: words, the window (`..._30d`), summaries such as averages."""

import re

from training.inspection.month import table_of

WINDOW = re.compile(r"_(\d+)d$")
SUMMARIES = frozenset({"avg", "average", "mean", "median", "max", "min", "longest", "shortest", "first", "last"})
"""Words for statistics that are undefined for no values, unlike a sum or a count, which is 0."""
UNITS_PER_DAY = {"days": 1, "hours": 24, "hrs": 24, "minutes": 1440, "mins": 1440, "seconds": 86_400, "secs": 86_400}


def words(name: str) -> frozenset[str]:
    """The words of the column's name in the singular, without its table."""
    return frozenset(word.removesuffix("s") for word in name.removeprefix(f"{table_of(name)}.").split("_"))


def window_days(name: str) -> int | None:
    """The length of the column's window in days, where its name ends in one (`_30d`)."""
    match = WINDOW.search(name)
    return int(match[1]) if match else None


def summarised(name: str) -> frozenset[str]:
    """The words for what a summary is taken of; empty where the name has no summary."""
    own = words(name)
    units = {unit.removesuffix("s") for unit in UNITS_PER_DAY}
    days = window_days(name)
    return own - SUMMARIES - units - {f"{days}d"} if own & SUMMARIES else frozenset()


def max_in_window(name: str) -> float | None:
    """The largest possible amount of time within the column's window: 720 for `..._hours_30d`."""
    days = window_days(name)
    unit = next((unit for unit in UNITS_PER_DAY if unit.removesuffix("s") in words(name)), None)
    return days * UNITS_PER_DAY[unit] if days and unit else None
