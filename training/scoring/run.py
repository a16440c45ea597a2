"""Run and Tally: which model scores which moment, and its progress. Both are stored with the scores."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from training.ranges.digest import EMPTY, added


@dataclass(frozen=True)
class Run:
    """A model's scores of every user as of `as_of`, with what was known at `known_at`.

    `run_id` and `fingerprint` are those of the training; from `threshold` on a label is true (None: there is none).
    `loads` is the number of loads known at `known_at`, `views` the digest of the registered sources and policies: a run
    is resumed only where both are unchanged. `who` began it at `begun_at`, with the code of `git_commit`.
    """

    use_case: str
    model: str
    version: str
    run_id: str
    fingerprint: str
    feature_service: str
    threshold: float | None
    as_of: datetime
    known_at: datetime
    loads: int
    views: str
    who: str
    git_commit: str
    begun_at: datetime

    @property
    def key(self) -> tuple[str, str, str, datetime]:
        """Identifies a run, with `known_at`. `run_id` is in it because a recreated registry reuses version numbers."""
        return self.model, self.version, self.run_id, self.as_of

    @property
    def title(self) -> str:
        """Model, version and `as_of`, for messages and as the name of the lock."""
        return f"{self.model} version {self.version} as of {self.as_of.astimezone(UTC).isoformat()}"

    @property
    def known_at_start(self) -> bool:
        """Whether the run was begun without a `known_at`: with what was known at its start."""
        return self.known_at == self.begun_at


@dataclass(frozen=True)
class Tally:
    """The number of users `scored`; `answered` of them got a prediction, `flagged` of these with flags.

    `refused` counts the others by error code. `digest` is that of what is said of each user
    (`training.ranges.digest`); empty: it was scored before there were digests.
    """

    scored: int = 0
    answered: int = 0
    flagged: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    digest: str = EMPTY

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.scored + other.scored,
            self.answered + other.answered,
            self.flagged + other.flagged,
            dict(sorted((Counter(self.refused) + Counter(other.refused)).items())),
            added(self.digest, other.digest),
        )
