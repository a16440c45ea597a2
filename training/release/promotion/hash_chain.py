"""The entries of one model's history -> what follows from them, and whether anybody has rewritten them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.release.promotion.history import Entry, Event


@dataclass(frozen=True)
class Witness:
    """What MLflow keeps of an entry, out of reach of whoever changes the table: its seq and its hash."""

    seq: int
    hash: str


def effective(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that stand: without those that were undone, and those that undid them."""
    standing: list[Entry] = []
    for entry in entries:
        if entry.event != Event.UNDONE:
            standing.append(entry)
        elif standing:
            standing.pop()
    return standing


def predecessor(entries: Iterable[Entry], version: str) -> str | None:
    """The version that this one replaced when it was promoted last, or None where nothing was there."""
    promotions = [
        each for each in effective(entries) if each.version == version and each.event in (Event.PROMOTED, Event.ADOPTED)
    ]
    return promotions[-1].previous if promotions else None


def was_in_production(entries: Iterable[Entry], version: str) -> bool:
    """Whether an entry that stands has brought the version into Production, or found it there."""
    return any(version in (each.version, each.previous) for each in effective(entries))


def breaks(entries: Sequence[Entry]) -> list[str]:
    """One sentence for each place where a chain is not as it was written: a row changed, missing, or there twice."""
    found, seq, link = [], 0, ""
    for entry in entries:
        if entry.hash != entry.digest:
            found.append(f"entry {entry.seq} was changed after it was written: its hash does not fit it")
        if entry.seq > seq + 1:
            gap = str(seq + 1) if entry.seq == seq + 2 else f"{seq + 1} to {entry.seq - 1}"
            found.append(f"entry {gap} is missing")
        elif entry.seq <= seq:
            found.append(f"entry {entry.seq} is there more than once: the history forks")
        elif entry.previous_hash != link:
            found.append(f"entry {entry.seq} does not follow the entry before it: one of them was replaced")
        seq, link = entry.seq, entry.hash
    return found


def losses(entries: Iterable[Entry], witnesses: Iterable[Witness]) -> list[str]:
    """One sentence for each entry that MLflow knows of and the history does not: its newest ones were cut off."""
    kept = {(entry.seq, entry.hash) for entry in entries}
    return [
        f"entry {each.seq} (hash {each.hash[:12]}) is gone: MLflow's tags still name it"
        for each in sorted(set(witnesses), key=lambda each: each.seq)
        if (each.seq, each.hash) not in kept
    ]
