"""Two months -> whether their entities are the same ones: how many stay, and whether their ids are written alike."""

import re
from unicodedata import normalize

import pandas as pd

from training.inspection.finding import Finding, Severity
from training.inspection.month import Pair

FEWEST_ROWS = 30
A_MONTH = 30.0
FEW, HARDLY_ANY = 0.5, 0.1
"""Shares of the entities that are in both months, for months 30 days apart; further apart, fewer stay."""
REWRITTEN = 0.01
"""From this share of the entities on, ids that differ in their writing alone are no accident."""


def other_entities(pair: Pair) -> list[Finding]:
    """`ids-rewritten:` ids of the month before in another writing; `other-entities:` few of that month's are here."""
    before, after = pair.before.frame.index, pair.after.frame.index
    if min(before.size, after.size) < FEWEST_ROWS:
        return []
    gone, new = before.difference(after), after.difference(before)
    rewritten = _rewritten(gone, new)
    found = []
    if len(rewritten) >= REWRITTEN * min(before.size, after.size):
        found.append(_ids_rewritten(pair, rewritten))
    stayed = pair.rows_after.size + len(rewritten)
    share = stayed / max(before.size, after.size)
    if share < FEW ** max(1.0, pair.days / A_MONTH):
        found.append(_other_entities(pair, stayed, share))
    return found


def plain(entity: str) -> str:
    """An id without what an export may change: case, blanks, punctuation, leading zeros, `.0`, Unicode's form."""
    text = normalize("NFKC", entity).casefold().strip().removesuffix(".0")
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\W_]+", "-", text).strip("-"))


def _rewritten(gone: "pd.Index[str]", new: "pd.Index[str]") -> list[tuple[str, str]]:
    """Pairs of ids, before and after, that are the same but for their writing."""
    known = {plain(entity): entity for entity in gone}
    return [(known[key], entity) for entity in new if (key := plain(entity)) in known]


def _ids_rewritten(pair: Pair, rewritten: list[tuple[str, str]]) -> Finding:
    name, (before, after) = str(pair.after.frame.index.name), rewritten[0]
    return Finding(
        f"ids-rewritten:{name}",
        Severity.ERROR,
        f"{len(rewritten):,} of {len(pair.after.frame):,} entities are written in another way than a month before: "
        f"{after!r} was {before!r}.",
        "Have the ids delivered as before: an id that is written otherwise is another entity, without a history.",
        {"rewritten": float(len(rewritten)), "entities": float(len(pair.after.frame))},
    )


def _other_entities(pair: Pair, stayed: int, share: float) -> Finding:
    name, before, after = str(pair.after.frame.index.name), len(pair.before.frame), len(pair.after.frame)
    hardly_any = share < HARDLY_ANY ** max(1.0, pair.days / A_MONTH)
    return Finding(
        f"other-entities:{name}",
        Severity.ERROR if hardly_any else Severity.WARNING,
        f"{stayed:,} entities are in both months, of {before:,} in the one before and {after:,} in this one, "
        f"{pair.days:.0f} days later.",
        "Ask whether the extract is whole, and of the same business: those who are not in it keep their old values. "
        "Where each entity belongs to one month (orders, claims), acknowledge it.",
        {"before": float(before), "after": float(after), "in_both": float(stayed)},
    )
