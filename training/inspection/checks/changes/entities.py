"""Two months -> whether they have the same entities, and write their ids alike."""

import re
from typing import Any
from unicodedata import normalize

import pandas as pd

from training.inspection.finding import Finding, Severity
from training.inspection.month import Pair

MIN_ROWS = 30
MONTH_DAYS = 30.0
WARNING_SHARE, ERROR_SHARE = 0.5, 0.1
"""Below these shares of entities in both months it is a warning, or an error; for months 30 days apart."""
REWRITTEN_SHARE = 0.01
"""The share of rewritten ids from which it is a finding."""


def other_entities(pair: Pair) -> list[Finding]:
    """`ids-rewritten:` ids of the month before in another format; `other-entities:` few entities are in both months."""
    before, after = pair.before.frame.index, pair.after.frame.index
    if min(before.size, after.size) < MIN_ROWS:
        return []
    gone, new = before.difference(after), after.difference(before)
    rewritten = _rewritten(gone, new)
    findings = []
    if len(rewritten) >= REWRITTEN_SHARE * min(before.size, after.size):
        findings.append(_ids_rewritten(pair, rewritten))
    stayed = pair.rows_after.size + len(rewritten)
    share = stayed / max(before.size, after.size)
    if share < WARNING_SHARE ** max(1.0, pair.days / MONTH_DAYS):
        findings.append(_other_entities(pair, stayed, share))
    return findings


def normalised(entity: Any) -> Any:
    """An id without what an export may change: case, spaces, punctuation, leading zeros, `.0`, Unicode form.

    Of several keys, that of each; an integer has one spelling.
    """
    if isinstance(entity, tuple):
        return tuple(map(normalised, entity))
    if not isinstance(entity, str):
        return entity
    text = normalize("NFKC", entity).casefold().strip().removesuffix(".0")
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\W_]+", "-", text).strip("-"))


def _rewritten(gone: "pd.Index[Any]", new: "pd.Index[Any]") -> list[tuple[Any, Any]]:
    """Pairs of ids, before and after, that differ in format only."""
    known = {normalised(entity): entity for entity in gone}
    return [(known[key], entity) for entity in new if (key := normalised(entity)) in known]


def _ids_rewritten(pair: Pair, rewritten: list[tuple[Any, Any]]) -> Finding:
    name, (before, after) = str(pair.after.frame.index.name), rewritten[0]
    return Finding(
        f"ids-rewritten:{name}",
        Severity.ERROR,
        f"{len(rewritten):,} of {len(pair.after.frame):,} entities have an id in another format than before: "
        f"{after!r} was {before!r}.",
        "Ask for the former format: a changed id is another entity, without a history.",
        {"rewritten": float(len(rewritten)), "entities": float(len(pair.after.frame))},
    )


def _other_entities(pair: Pair, stayed: int, share: float) -> Finding:
    name, before, after = str(pair.after.frame.index.name), len(pair.before.frame), len(pair.after.frame)
    is_error = share < ERROR_SHARE ** max(1.0, pair.days / MONTH_DAYS)
    return Finding(
        f"other-entities:{name}",
        Severity.ERROR if is_error else Severity.WARNING,
        f"{stayed:,} entities are in both extracts, of {before:,} in the one before and {after:,} in this one, "
        f"{pair.span} later.",
        "Ask whether the extract is complete, and of the same business: entities that are not in it keep their old "
        "values. Where each entity belongs to one moment (orders, claims), acknowledge it.",
        {"before": float(before), "after": float(after), "in_both": float(stayed)},
    )
