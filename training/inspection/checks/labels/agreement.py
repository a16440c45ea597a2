"""Two months with labels -> changes of the label rate, and repeated or unrelated labels."""

from dataclasses import dataclass

import numpy as np

from training.inspection.finding import Finding, Severity
from training.inspection.month import Bools, Month, Pair
from training.metrics.classification import Floats
from training.metrics.statistics import ALARM, NOTICE, correlation_interval

MIN_CORRELATION = 0.1
"""Labels of consecutive months are expected to correlate at least by this."""
MIN_PER_CLASS = 30


@dataclass(frozen=True)
class Agreement:
    """The entities with labels in both months: the share of equal labels, that share by chance, and the correlation."""

    entities: int
    share: float
    by_chance: float
    correlation: float
    low: float
    high: float


def label_rate(pair: Pair) -> list[Finding]:
    """`label-rate:` the share of positives, or how the labels are distributed, has changed significantly."""
    if (name := _label(pair)) is None:
        return []
    before, after = (_known(month) for month in (pair.before, pair.after))
    moved = pair.after.rules.shift(before, after)
    p_value = moved.effect.p_value
    if p_value > NOTICE:
        return []
    return [
        Finding(
            f"label-rate:{name}",
            Severity.WARNING if p_value <= ALARM and moved.large else Severity.INFO,
            f"The label rate went {moved.text}, which chance explains once in {1 / max(p_value, 1e-12):,.0f} times.",
            "Ask whether the label is still defined as it was; a threshold chosen before is off by as much.",
            {**moved.figures, "p_value": p_value},
        )
    ]


def label_agreement(pair: Pair) -> list[Finding]:
    """`labels-repeated:` last month's labels again; `labels-unrelated:` labels that agree no better than by chance.

    Nothing where entities have one label at most, or where there are too few rows. Labels of overlapping times may
    repeat.
    """
    name, agreed = _label(pair), agreement(pair)
    if name is None or agreed is None:
        return []
    if agreed.share == 1 and pair.before.labels_known <= pair.after.as_of:
        return [_repeated(name, agreed)]
    if agreed.low <= 0 <= agreed.high < MIN_CORRELATION:
        return [_unrelated(name, agreed)]
    return []


def agreement(pair: Pair) -> Agreement | None:
    """The agreement of the labels in both months; None where an outcome has too few rows.

    Of several outcomes (`Rules.events`) the one that agrees best is compared by chance and correlation.
    """
    if _label(pair) is None:
        return None
    before = pair.before.encoded_labels()[pair.rows_before]
    after = pair.after.encoded_labels()[pair.rows_after]
    both = ~(np.isnan(before) | np.isnan(after))
    before, after = before[both], after[both]
    if not before.size:
        return None
    rules, share = pair.after.rules, float((before == after).mean())
    outcomes = [_compared(*each, share) for each in zip(rules.events(before), rules.events(after), strict=True)]
    return max(filter(None, outcomes), key=lambda each: each.high, default=None)


def _compared(before: Bools, after: Bools, share: float) -> Agreement | None:
    if min((each == value).sum() for each in (before, after) for value in (False, True)) < MIN_PER_CLASS:
        return None
    first, second = before.mean(), after.mean()
    correlation = float(np.corrcoef(before, after)[0, 1])
    low, high = correlation_interval(correlation, before.size)
    by_chance = float(first * second + (1 - first) * (1 - second))
    return Agreement(before.size, share, by_chance, correlation, low=low, high=high)


def _label(pair: Pair) -> str | None:
    return pair.after.label if pair.before.label else None


def _known(month: Month) -> Floats:
    values = month.encoded_labels()
    return values[~np.isnan(values)]


def _figures(agreed: Agreement) -> dict[str, float]:
    return {name: float(getattr(agreed, name)) for name in agreed.__dataclass_fields__}


def _repeated(name: str, agreed: Agreement) -> Finding:
    return Finding(
        f"labels-repeated:{name}",
        Severity.ERROR,
        f"All {agreed.entities:,} entities with labels at both moments have the same label at both (by chance "
        f"{agreed.by_chance:.2%} would): these are another moment's labels.",
        "Load the labels of each moment as of that moment.",
        _figures(agreed),
    )


def _unrelated(name: str, agreed: Agreement) -> Finding:
    return Finding(
        f"labels-unrelated:{name}",
        Severity.ERROR,
        f"The labels of the {agreed.entities:,} entities in both extracts agree in {agreed.share:.2%}, by chance "
        f"{agreed.by_chance:.2%} would; correlation {agreed.correlation:.3f} ({agreed.low:.3f} to {agreed.high:.3f}).",
        "Check that these labels belong to these entities and this moment: shuffled labels look like this. Otherwise "
        "the concept has changed, and earlier models no longer hold.",
        _figures(agreed),
    )
