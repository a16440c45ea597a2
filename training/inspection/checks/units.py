"""Amounts in a unit that cannot be: more time than the window has, or all values times 60 from month to month."""

import numpy as np

from asof.extract_schema import Kind
from training.inspection.column_names import SUMMARIES, most_in_window, window_days, words
from training.inspection.finding import Finding, Severity
from training.inspection.month import Month, Pair

FACTORS = (7.0, 12.0, 24.0, 60.0, 100.0, 1000.0, 1440.0, 3600.0)
"""Days and weeks, months and years, hours and days, minutes, cents, thousands, minutes a day, seconds an hour."""
CLOSE = 0.1
QUARTILES = (0.25, 0.5, 0.75)
FEWEST_ROWS = 100


def impossible_amounts(month: Month) -> list[Finding]:
    """`impossible-unit:` by its name an amount of time within a window (`..._hours_30d`), and more than the window."""
    found: list[Finding] = []
    for name in month.features(Kind.INTEGER, Kind.NUMBER):
        most, values = most_in_window(name), month.numbers(name)
        # A summary may reach over the edge of the window: the mean length of what ended in it.
        if most and not words(name) & SUMMARIES and (beyond := int((values > most).sum())):
            found.append(_beyond(name, most, beyond, float(np.nanmax(values))))
    return found


def changed_units(pair: Pair) -> list[Finding]:
    """`unit-change:` all three quartiles of the values that are not 0 have grown (or shrunk) by one known factor."""
    return [found for name in pair.features(Kind.INTEGER, Kind.NUMBER) if (found := _changed(pair, name))]


def _beyond(name: str, most: float, beyond: int, greatest: float) -> Finding:
    return Finding(
        f"impossible-unit:{name}",
        Severity.ERROR,
        f"{name} reaches {greatest:,.0f}, but a window of {window_days(name)} days holds only {most:,.0f}: "
        f"{beyond:,} rows lie beyond.",
        "The values are in another unit than the name says, or count something twice: ask their owner.",
        {"rows": float(beyond), "greatest": greatest, "most": most},
    )


def _changed(pair: Pair, name: str) -> Finding | None:
    before, after = (values[values > 0] for values in pair.numbers(name))
    if min(before.size, after.size) < FEWEST_ROWS:
        return None
    ratios = np.quantile(after, QUARTILES) / np.quantile(before, QUARTILES)
    factor = next((f for each in FACTORS for f in (each, 1 / each) if (abs(ratios / f - 1) < CLOSE).all()), None)
    if factor is None:
        return None
    times = f"times {factor:.0f}" if factor > 1 else f"divided by {1 / factor:.0f}"
    return Finding(
        f"unit-change:{name}",
        Severity.ERROR,
        f"{name} is {times} what it was a month before, in all its quartiles: its unit has changed.",
        "Have the month delivered again in the old unit, or give the new one a column of its own.",
        {f"ratio_q{100 * q:.0f}": float(ratio) for q, ratio in zip(QUARTILES, ratios, strict=True)},
    )
