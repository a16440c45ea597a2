"""What each kind of copy is given, and what it reports."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from asof.settings import Settings
from asof.use_case import UseCase
from training.erasure.subject import Subject

NOT_COUNTED = -1


@dataclass(frozen=True)
class Work:
    """One erasure: of copies that describe moments up to `until`. Without `apply` they are only counted.

    `again`: what came back is erased again, but nothing that describes a later moment than before. `scores` are folders
    of Parquet scores besides those that this home remembers; `digest` is the tombstone's.
    """

    settings: Settings
    use_case: UseCase
    subject: Subject
    until: datetime
    digest: str
    apply: bool
    again: bool = False
    scores: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Copy:
    """`count` rows, lines or files of the subject at a place. `left` says what the user must do about those of others,
    of which NOT_COUNTED may be the number.

    `models` are versions, or runs without one, that were trained with it.
    """

    place: str
    count: int
    left: str = ""
    models: tuple[str, ...] = field(default=(), kw_only=True)
