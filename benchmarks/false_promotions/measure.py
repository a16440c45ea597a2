"""Families of designs -> one row of figures for each target and size."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.false_promotions.binary import BINARY
from benchmarks.false_promotions.design import Design, Family
from benchmarks.false_promotions.multiclass import MULTICLASS
from benchmarks.false_promotions.regression import REGRESSION

DRAWS, QUICK_DRAWS, POWER_DRAWS = 1000, 100, 200
FAMILIES = (BINARY, MULTICLASS, REGRESSION)


def promotions(family: Family, design: Design, size: tuple[int, ...], *, draws: int) -> int:
    """In how many draws every criterion that compares metrics is met, whatever the number of rows; seeded."""
    contests = (design.draw(size, seed) for seed in range(draws))
    return sum(all(rule(each, design.bounds).passed for rule in family.rules(each)) for each in contests)


def measure_false_promotions(draws: int) -> Iterator[Mapping[str, Any]]:
    """The greatest share of any design that is no better, with its Clopper-Pearson interval; and shares of better ones.

    The minimum of rows is not applied, and said: below it nothing is promoted.
    """
    for family in FAMILIES:
        for size in family.sizes:
            yield _row(family, size, draws)


def _row(family: Family, size: tuple[int, ...], draws: int) -> Mapping[str, Any]:
    counts = {name: promotions(family, each, size, draws=draws) for name, each in family.no_better.items()}
    worst = max(counts, key=counts.__getitem__)
    power = {name: promotions(family, each, size, draws=POWER_DRAWS) for name, each in family.better.items()}
    return {
        "target": family.target,
        "held-out rows": ", ".join(map(str, size)),
        "enough": "yes" if family.enough(size) else "no",
        "draws": draws,
        "no better, %": _percent(counts[worst], draws),
        "interval": _interval(counts[worst], draws),
        "of the designs": worst,
        **{f"{name}, %": _percent(count, POWER_DRAWS) for name, count in power.items()},
        "equivalent, %": _percent(promotions(family, family.equivalent, size, draws=POWER_DRAWS), POWER_DRAWS),
    }


def _percent(count: int, draws: int) -> float:
    return round(100 * count / draws, 2)


def _interval(count: int, draws: int) -> str:
    """Clopper and Pearson's, 95 %."""
    from scipy.stats import beta

    low = beta.ppf(0.025, count, draws - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, draws - count)
    return f"{100 * low:.1f} to {100 * high:.1f}"
