"""What a column's name tells by convention: its words, its window (`..._30d`), whether it is an average.

The checks that look at names treat every schema alike: none knows a column by its name.
"""

import re

from training.inspection.month import table_of

WINDOW = re.compile(r"_(\d+)d$")
SUMMARIES = frozenset({"avg", "average", "mean", "median", "max", "min", "longest", "shortest", "first", "last"})
"""Words for figures that do not exist where there is nothing to summarise; a sum or a count does: 0."""
PER_DAY = {"days": 1, "hours": 24, "hrs": 24, "minutes": 1440, "mins": 1440, "seconds": 86_400, "secs": 86_400}
"""How many of a unit fit into a day."""


def words(name: str) -> frozenset[str]:
    """The words of the column's name in the singular, without its table."""
    return frozenset(word.removesuffix("s") for word in name.removeprefix(f"{table_of(name)}.").split("_"))


def window_days(name: str) -> int | None:
    """Days of the window that the column is measured over, where its name ends in one (`_30d`)."""
    match = WINDOW.search(name)
    return int(match[1]) if match else None


def summarised(name: str) -> frozenset[str]:
    """What an average (or the like) is taken of: the words beside; empty where the name speaks of none."""
    own = words(name)
    units = {unit.removesuffix("s") for unit in PER_DAY}
    days = window_days(name)
    return own - SUMMARIES - units - {f"{days}d"} if own & SUMMARIES else frozenset()


def most_in_window(name: str) -> float | None:
    """The most that an amount of time can reach within its window: 720 for `..._hours_30d`."""
    days = window_days(name)
    unit = next((unit for unit in PER_DAY if unit.removesuffix("s") in words(name)), None)
    return days * PER_DAY[unit] if days and unit else None
