"""Counts of time since a date: whether a unit of time fits them, and whether they advance between two months."""

from dataclasses import dataclass

import numpy as np

from asof.extracts.schema import Kind
from training.inspection.finding import Finding, Severity
from training.inspection.month import Month, Pair
from training.metrics.classification import Floats

UNITS = {"day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}
MIN_GAMMA = 0.98
"""Goodman and Kruskal's gamma (JASA 49, 1954) from which a column counts time since a date: it grows with its age."""
MIN_FITTING = 0.95
UNIT_TOLERANCE = 1.5
"""Units by which a count may differ from the median: begun or completed ones, and months of unequal length."""
MIN_ROWS, MIN_VALUES = 100, 5
SHORTEST_MONTH, MIN_STEP = 28, 0.9
GAMMA_ROWS = 1_000
"""Rows of which every pair is compared."""


@dataclass(frozen=True)
class Tenure:
    """An integer column that counts time since a date column. A `share` of its rows fits the best `unit`."""

    count: str
    date: str
    gamma: float
    unit: str
    share: float

    @property
    def fits(self) -> bool:
        return self.share >= MIN_FITTING


def tenures(month: Month) -> list[Tenure]:
    """The pairs of an integer and a date column where, by their values, the one counts time since the other."""
    pairs = [(count, date) for date in month.features(Kind.DATE) for count in month.features(Kind.INTEGER)]
    return [tenure for count, date in pairs if (tenure := _tenure(month, count, date))]


def contradicting_tenures(month: Month) -> list[Finding]:
    """`contradiction:` a count grows with the age of a date, and no unit of time fits both."""
    return [_contradiction(month, tenure) for tenure in tenures(month) if not tenure.fits]


def standing_still(pair: Pair) -> list[Finding]:
    """`stands-still:` on average a count of time has not advanced by half of the time between the months.

    A count whose unit is unknown must have advanced for at least one entity. Extracts of less than a month apart are
    judged only by counts of units that short: others may advance for everybody on one day of the month.
    """
    return [finding for tenure in tenures(pair.after) if (finding := _still(pair, tenure))]


def _tenure(month: Month, count: str, date: str) -> Tenure | None:
    counts, days = month.numbers(count), month.numbers(date)
    known = ~(np.isnan(counts) | np.isnan(days))
    counts, age = counts[known], month.as_of.timestamp() / 86_400 - days[known]
    step = max(1, counts.size // GAMMA_ROWS)
    some, ages = counts[::step], age[::step]
    if counts.size < MIN_ROWS or min(np.unique(some).size, np.unique(ages).size) < MIN_VALUES:
        return None
    if (gamma := _gamma(some, ages)) < MIN_GAMMA:
        return None
    shares = {unit: _fit(counts - age / days) for unit, days in UNITS.items()}
    best = max(shares, key=lambda unit: shares[unit])
    return Tenure(count, date, gamma, best, shares[best])


def _fit(differences: Floats) -> float:
    """The share of rows near the median difference, which is not 0 where a whole month is late."""
    return float((abs(differences - np.median(differences)) <= UNIT_TOLERANCE).mean())


def _gamma(first: Floats, second: Floats) -> float:
    """Concordant minus discordant pairs, as a share of the untied pairs."""
    greater, other = first[:, None] > first, second[:, None] > second
    concordant, discordant = np.count_nonzero(greater & other), np.count_nonzero(greater & other.T)
    untied = concordant + discordant
    return (concordant - discordant) / untied if untied else 0.0


def _contradiction(month: Month, tenure: Tenure) -> Finding:
    counts, days = month.numbers(tenure.count), month.numbers(tenure.date)
    age = np.nanmax(days) - days  # against the newest date, whatever the unit is meant to be
    greatest, spread, as_days = np.nanmax(counts), np.nanmax(age), float((counts == age).mean())
    aside = f" In {as_days:.0%} of the rows the count is exactly the days before the newest date." if as_days else ""
    return Finding(
        f"contradiction:{tenure.count}~{tenure.date}",
        Severity.ERROR,
        f"{tenure.count} counts time since {tenure.date} (it grows with its age in {(1 + tenure.gamma) / 2:.1%} of the "
        f"pairs of rows), yet no unit of time fits both: it reaches {greatest:.0f} while the dates lie "
        f"within {spread:.0f} days; the {tenure.unit}, which fits best, fits {tenure.share:.1%} of the rows.{aside}",
        "One of the two is wrong or in another unit: ask their owner, and use neither as a feature until then.",
        {
            "gamma": tenure.gamma,
            "greatest_count": float(greatest),
            "days_between_dates": float(spread),
            "best_share": tenure.share,
            "share_counted_as_days": as_days,
        },
    )


def _still(pair: Pair, tenure: Tenure) -> Finding | None:
    before, after = pair.shared(tenure.count)
    advanced = (after - before)[~np.isnan(after - before)]
    expected = pair.days / UNITS[tenure.unit] if tenure.fits else None
    if pair.days < SHORTEST_MONTH and (expected or 0) < MIN_STEP:
        return None
    if advanced.size < MIN_ROWS or advanced.size * (expected or 1) < MIN_ROWS:
        return None
    if (advanced.mean() >= expected / 2) if expected else (advanced > 0).any():
        return None
    not_advanced = int((advanced <= 0).sum())
    units = f"by about {expected:.1f}" if expected else "for everybody"
    return Finding(
        f"stands-still:{tenure.count}",
        Severity.ERROR,
        f"{tenure.count} counts time since {tenure.date} and should advance {units} in the {pair.span} "
        f"between both extracts; for {not_advanced:,} of the {advanced.size:,} entities in both it has not.",
        f"The extract repeats earlier values: ask for a new one, or its features are {pair.span} old.",
        {
            "entities": float(advanced.size),
            "not_advanced": float(not_advanced),
            "mean": float(advanced.mean()),
        },
    )
