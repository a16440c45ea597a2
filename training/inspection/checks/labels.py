"""Two months -> what their labels have to do with each other: the rate, and the entities that both label."""

from dataclasses import dataclass

import numpy as np

from training.inspection.finding import Finding, Severity
from training.inspection.month import Month, Pair
from training.metrics.classification import Floats
from training.metrics.statistics import ALARM, NOTICE, correlation_interval, two_shares

LARGE_SHIFT = 0.02
"""A change of the label rate from which it is an alarm, if chance is ruled out."""
RELATED = 0.1
"""Labels of consecutive months that are about the same thing correlate by more than this."""
FEWEST_OF_A_CLASS = 30


@dataclass(frozen=True)
class Agreement:
    """The entities with labels in both months: how many, the share of equal labels and what chance would make it."""

    entities: int
    share: float
    by_chance: float
    correlation: float
    low: float
    high: float


def label_rate(pair: Pair) -> list[Finding]:
    """`label-rate:` the share of positives has moved by more than chance would."""
    if (name := _label(pair)) is None:
        return []
    before, after = (_known(month) for month in (pair.before, pair.after))
    moved = two_shares(before, after)
    if moved.p_value > NOTICE:
        return []
    alarming = moved.p_value <= ALARM and abs(moved.size) >= LARGE_SHIFT
    return [
        Finding(
            f"label-rate:{name}",
            Severity.WARNING if alarming else Severity.INFO,
            f"The label rate went from {before.mean():.2%} ({before.size:,} labels) to {after.mean():.2%} "
            f"({after.size:,}), which chance explains once in {1 / max(moved.p_value, 1e-12):,.0f} times.",
            "Ask whether the label is still defined as it was; a threshold chosen last month is off by as much.",
            {"before": float(before.mean()), "after": float(after.mean()), "p_value": moved.p_value},
        )
    ]


def label_agreement(pair: Pair) -> list[Finding]:
    """`labels-repeated:` last month's labels again; `labels-unrelated:` labels that agree no better than by chance.

    Silent where an entity has one label at most (who has left is gone), and where the rows are too few to tell.
    """
    name, found = _label(pair), agreement(pair)
    if name is None or found is None:
        return []
    if found.share == 1:
        return [_repeated(name, found)]
    if found.low <= 0 <= found.high < RELATED:
        return [_unrelated(name, found)]
    return []


def agreement(pair: Pair) -> Agreement | None:
    """How the labels of the entities in both months agree; None where they are too few, or of one class."""
    if (name := _label(pair)) is None:
        return None
    before, after = pair.shared(name)
    both = ~(np.isnan(before) | np.isnan(after))
    before, after = before[both], after[both]
    classes = [(each == value).sum() for each in (before, after) for value in (0, 1)]
    if min(classes) < FEWEST_OF_A_CLASS:
        return None
    first, second = before.mean(), after.mean()
    correlation = float(np.corrcoef(before, after)[0, 1])
    low, high = correlation_interval(correlation, before.size)
    by_chance = float(first * second + (1 - first) * (1 - second))
    return Agreement(before.size, float((before == after).mean()), by_chance, correlation, low=low, high=high)


def _label(pair: Pair) -> str | None:
    return pair.after.label if pair.before.label else None


def _known(month: Month) -> Floats:
    values = month.numbers(str(month.label))
    return values[~np.isnan(values)]


def _figures(found: Agreement) -> dict[str, float]:
    return {name: float(getattr(found, name)) for name in found.__dataclass_fields__}


def _repeated(name: str, found: Agreement) -> Finding:
    return Finding(
        f"labels-repeated:{name}",
        Severity.ERROR,
        f"All {found.entities:,} entities with labels in both months have the same label in both (by chance "
        f"{found.by_chance:.2%} would): these are another month's labels.",
        "Load the labels of this month as of this month.",
        _figures(found),
    )


def _unrelated(name: str, found: Agreement) -> Finding:
    return Finding(
        f"labels-unrelated:{name}",
        Severity.ERROR,
        f"The labels of the {found.entities:,} entities in both months agree in {found.share:.2%}, by chance "
        f"{found.by_chance:.2%} would; correlation {found.correlation:.3f} ({found.low:.3f} to {found.high:.3f}).",
        "Check that these labels belong to these entities and to this month: shuffled labels look like this. Else the "
        "concept has changed, and nothing that was learned before holds.",
        _figures(found),
    )
