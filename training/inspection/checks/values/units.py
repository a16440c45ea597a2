"""Impossible or changed units: more time than the window has, or all values 60 times those of the month before."""

import numpy as np

from asof.extracts.schema import Kind
from training.inspection.column_names import SUMMARIES, max_in_window, window_days, words
from training.inspection.finding import Finding, Severity
from training.inspection.month import Month, Pair

FACTORS = (7.0, 12.0, 24.0, 60.0, 100.0, 1000.0, 1440.0, 3600.0)
"""Days and weeks, months and years, hours and days, minutes, cents, thousands, minutes a day, seconds an hour."""
FACTOR_TOLERANCE = 0.1
QUARTILES = (0.25, 0.5, 0.75)
MIN_ROWS = 100


def impossible_amounts(month: Month) -> list[Finding]:
    """`impossible-unit:` a column named for an amount of time in a window (`..._hours_30d`) that exceeds the window."""
    findings: list[Finding] = []
    for name in month.features(Kind.INTEGER, Kind.NUMBER):
        limit, values = max_in_window(name), month.numbers(name)
        # A summary may exceed the window: the mean length of what ended in it.
        if limit and not words(name) & SUMMARIES and (beyond := int((values > limit).sum())):
            findings.append(_beyond(name, limit, beyond, float(np.nanmax(values))))
    return findings


def changed_units(pair: Pair) -> list[Finding]:
    """`unit-change:` all three quartiles of the positive values have grown (or shrunk) by one known factor."""
    return [finding for name in pair.features(Kind.INTEGER, Kind.NUMBER) if (finding := _changed(pair, name))]


def _beyond(name: str, limit: float, beyond: int, greatest: float) -> Finding:
    return Finding(
        f"impossible-unit:{name}",
        Severity.ERROR,
        f"{name} reaches {greatest:,.0f}, but a window of {window_days(name)} days holds only {limit:,.0f}: "
        f"{beyond:,} rows exceed it.",
        "The values are in another unit than the name says, or count something twice: ask their owner.",
        {"rows": float(beyond), "greatest": greatest, "most": limit},
    )


def _changed(pair: Pair, name: str) -> Finding | None:
    before, after = (values[values > 0] for values in pair.numbers(name))
    if min(before.size, after.size) < MIN_ROWS:
        return None
    ratios = np.quantile(after, QUARTILES) / np.quantile(before, QUARTILES)
    factor = next(
        (f for each in FACTORS for f in (each, 1 / each) if (abs(ratios / f - 1) < FACTOR_TOLERANCE).all()), None
    )
    if factor is None:
        return None
    times = f"times {factor:.0f}" if factor > 1 else f"divided by {1 / factor:.0f}"
    return Finding(
        f"unit-change:{name}",
        Severity.ERROR,
        f"{name} is {times} what it was before, in all its quartiles: its unit has changed.",
        "Have the extract delivered again in the old unit, or give the new one a column of its own.",
        {f"ratio_q{100 * q:.0f}": float(ratio) for q, ratio in zip(QUARTILES, ratios, strict=True)},
    )
