"""A subject -> Erasure: every copy that this installation can reach is erased, and a tombstone says so.

The tombstone comes first, so that no load brings the subject back meanwhile. Each step may be repeated: after an
interruption the same call finishes the same tombstone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from asof.errors import DataError
from asof.home import private_file
from asof.settings import Settings
from asof.trust.erasure_key import digest, erasure_key, key_id
from asof.use_case import UseCase
from training.data.snapshots.erased import tombstones
from training.data.snapshots.erased.tombstones import Tombstone
from training.data.snapshots.provenance import actor
from training.erasure.copies.databases import ledger, online, prefect_database, tables
from training.erasure.copies.files import archive, deliveries, parquet_scores, spool, text_files
from training.erasure.copies.models import training_sets
from training.erasure.subject import Subject, subject_of
from training.erasure.work import Copy, Work

Step = Callable[[Work], Iterable[Copy]]
Progress = Callable[[str], None]
STEPS: Mapping[str, Step] = {
    "snapshots and scores": tables.erase,
    "online store": online.erase,
    "Parquet scores": parquet_scores.erase,
    "spool": spool.erase,
    "ledger": ledger.erase,
    "old months of the ledger": archive.erase,
    "training sets and models": training_sets.erase,
    "logs and pages": text_files.erase,
    "Prefect": prefect_database.erase,
    "delivered files": deliveries.erase,
}
"""In this order: what others are made from comes first."""
TOMBSTONES = "erasures.jsonl"
"""The file of the home with every tombstone, which outlives a restored database."""


@dataclass(frozen=True)
class Erasure:
    """What was erased, or in a dry run what would be. No member has an id.

    `copies` are rows, lines and files by place; `left` those of others, each with what to do; `remaining` what a second
    look still found. `models` were trained with the subject and keep what they learned. `begun_before`: an interrupted
    erasure was finished. `erased_before`: the moment of an earlier one, where nothing was left to erase.
    """

    use_case: str
    keys: tuple[str, ...]
    digest: str
    dry_run: bool
    until: datetime
    copies: Mapping[str, int]
    left: tuple[Copy, ...] = ()
    models: tuple[str, ...] = ()
    remaining: Mapping[str, int] | None = None
    begun_before: bool = False
    erased_before: datetime | None = None

    @property
    def count(self) -> int:
        """Of all copies."""
        return sum(self.copies.values())

    @property
    def shown(self) -> dict[str, Any]:
        """As JSON data."""
        left = [{"place": each.place, "count": each.count, "left": each.left} for each in self.left]
        return vars(self) | {"left": left, "count": self.count}


def look(
    settings: Settings,
    use_case: UseCase,
    entity: str,
    *,
    scores: Iterable[Path] = (),
    progress: Progress = lambda _: None,
) -> Erasure:
    """Counts the copies and changes nothing.

    Raises DataError where the text is no entity of the use case, or nothing of it is here and it was never erased.
    """
    subject = subject_of(use_case, entity)
    key = erasure_key(settings, create=True)
    work = _work(settings, use_case, subject, key, tuple(scores), apply=False)
    with _connected(settings) as connection:
        earlier = _earlier(connection, work)
    found = replace(
        _summary(work, _run(work, progress, {})), begun_before=any(not each.finished_at for each in earlier)
    )
    if not found.count and not found.begun_before:
        if not earlier:
            raise DataError(f"Nothing of this entity of {use_case.name} is here: check the id.")
        return replace(found, erased_before=earlier[-1].until)
    return found


def erase(
    settings: Settings,
    use_case: UseCase,
    entity: str,
    *,
    reason: str,
    scores: Iterable[Path] = (),
    found: Erasure | None = None,
    progress: Progress = lambda _: None,
) -> Erasure:
    """Erases the entity, or all with these values of some keys. `found` is what `look` has just found of it.

    Raises DataError as `look` does, or for a reason with the id in it, and ConfigurationError where a store cannot be
    reached: what is erased stays erased.
    """
    subject = subject_of(use_case, entity)
    if not reason.strip() or subject.redacted(reason) is not None:
        raise DataError("The reason stays: give one without the id.")
    found = found or look(settings, use_case, entity, scores=scores)
    if found.erased_before:
        return replace(found, dry_run=False)
    work = _work(settings, use_case, subject, erasure_key(settings), tuple(scores), apply=True)
    tombstone = begin(settings, work, reason)
    return replace(finish(settings, work, tombstone, progress), begun_before=found.begun_before)


def begin(settings: Settings, work: Work, reason: str) -> Tombstone:
    """Writes the tombstone, or takes up that of an interrupted erasure, which now covers the present."""
    with _connected(settings) as connection:
        tombstones.create_table(connection)
        if unfinished := [each for each in _earlier(connection, work) if not each.finished_at]:
            tombstone = tombstones.extend(connection, unfinished[-1], work.until)
        else:
            key = key_id(erasure_key(settings))
            keys, who = [*work.subject.keys], actor(settings)
            tombstone = Tombstone(work.use_case.name, keys, work.digest, key, work.until, who, reason, {})
            tombstones.insert(connection, tombstone)
    remember(settings, tombstone)
    return tombstone


def finish(settings: Settings, work: Work, tombstone: Tombstone, progress: Progress) -> Erasure:
    """Erases, counts what is left, and completes the tombstone if nothing is."""
    copies = list[Copy]()
    moments: dict[str, datetime] = {}
    with _connected(settings) as connection:
        for each in _run(work, progress, moments):
            copies.append(each)
            counts = dict(tombstone.copies)
            counts[each.place] = counts.get(each.place, 0) + each.count
            if each.count and not each.left:
                tombstone = replace(tombstone, copies=counts)
                tombstones.record(connection, tombstone)
        progress("looking again")
        remaining = _summary(work, _run(replace(work, apply=False), lambda _: None, moments)).copies
        if not work.again:
            tombstone = tombstones.extend(connection, tombstone, max(moments.values()))
        if not remaining:
            tombstone = replace(tombstone, finished_at=datetime.now(UTC))
            tombstones.record(connection, tombstone)
            remember(settings, tombstone)
    return replace(_summary(work, copies), remaining=remaining)


def remember(settings: Settings, tombstone: Tombstone) -> None:
    """Appends the tombstone to the file of the home."""
    with private_file(settings.home / TOMBSTONES).open("a", encoding="utf-8") as file:
        file.write(tombstone.to_json() + "\n")


def _run(work: Work, progress: Progress, moments: dict[str, datetime]) -> Iterator[Copy]:
    """Each step up to its moment, which is set where it is absent: until then the service may have answered."""
    for name, step in STEPS.items():
        progress(name)
        until = moments.setdefault(name, work.until if work.again else datetime.now(UTC))
        yield from step(replace(work, until=until))


def _work(
    settings: Settings, use_case: UseCase, subject: Subject, key: bytes, scores: tuple[Path, ...], *, apply: bool
) -> Work:
    own = digest(key, use_case.name, subject.keys).hex()
    return Work(settings, use_case, subject, datetime.now(UTC), own, apply, scores=scores)


def _earlier(connection: psycopg.Connection[Any], work: Work) -> list[Tombstone]:
    every = tombstones.read_tombstones(connection, work.use_case.name)
    return [each for each in every if each.digest == work.digest]


def _summary(work: Work, copies: Iterable[Copy]) -> Erasure:
    every = [copy for copy in copies if copy.count or copy.left]
    counts: dict[str, int] = {}
    for copy in every:
        if not copy.left:
            counts[copy.place] = counts.get(copy.place, 0) + copy.count
    return Erasure(
        work.use_case.name,
        tuple(work.subject.keys),
        work.digest,
        not work.apply,
        work.until,
        counts,
        left=tuple(copy for copy in every if copy.left and copy.count),
        models=tuple(dict.fromkeys(name for copy in every for name in copy.models)),
    )


@contextmanager
def _connected(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        yield connection
