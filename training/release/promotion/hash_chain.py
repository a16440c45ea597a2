"""Entries of a model's history -> the production versions that follow from them, and where the hash chain is broken."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.release.promotion.history import Entry, Event


@dataclass(frozen=True)
class EntryReference:
    """Seq and hash of an entry, as MLflow's tags keep them, which a change of the table does not reach."""

    seq: int
    hash: str


def effective(entries: Iterable[Entry]) -> list[Entry]:
    """The entries without those that were undone, and without those that undid them."""
    kept: list[Entry] = []
    for entry in entries:
        if entry.event != Event.UNDONE:
            kept.append(entry)
        elif kept:
            kept.pop()
    return kept


def predecessor(entries: Iterable[Entry], version: str) -> str | None:
    """The version that this one replaced at its last promotion; None where there was none."""
    arrivals = (Event.PROMOTED, Event.ADOPTED)
    replaced = [each.previous for each in effective(entries) if each.version == version and each.event in arrivals]
    return replaced[-1] if replaced else None


def was_in_production(entries: Iterable[Entry], version: str) -> bool:
    """Whether an effective entry has the version in Production, before or after it."""
    return any(version in (each.version, each.previous) for each in effective(entries))


def chain_errors(entries: Sequence[Entry]) -> list[str]:
    """One sentence for each place where a row of the chain was changed, is missing, or is there twice."""
    errors, seq, link = [], 0, ""
    for entry in entries:
        if entry.hash != entry.digest:
            errors.append(f"entry {entry.seq} was changed after it was written: its hash does not fit it")
        if entry.seq > seq + 1:
            gap = str(seq + 1) if entry.seq == seq + 2 else f"{seq + 1} to {entry.seq - 1}"
            errors.append(f"entry {gap} is missing")
        elif entry.seq <= seq:
            errors.append(f"entry {entry.seq} is there more than once: the history forks")
        elif entry.previous_hash != link:
            errors.append(f"entry {entry.seq} does not follow the entry before it: one of them was replaced")
        seq, link = entry.seq, entry.hash
    return errors


def missing_entries(entries: Iterable[Entry], references: Iterable[EntryReference]) -> list[str]:
    """One sentence for each entry that MLflow names and the history lacks: its newest entries were deleted."""
    known = {(entry.seq, entry.hash) for entry in entries}
    return [
        f"entry {each.seq} (hash {each.hash[:12]}) is gone: MLflow's tags still name it"
        for each in sorted(set(references), key=lambda each: each.seq)
        if (each.seq, each.hash) not in known
    ]
