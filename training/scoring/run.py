"""Run and Tally: which model scores which moment, and how far it has come. Both are kept with the results."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self


@dataclass(frozen=True)
class Run:
    """One model's scores of every user as of a moment, as known at another.

    `model` and `version` are those of the registry, `run_id` and `fingerprint` of its training; `threshold` is the
    probability from which the label is true. `loads` were there that count as known by then, `views` is the digest of
    the sources and policies that were registered: both tell whether a run that goes on would read the same. `who` began
    it, at `begun_at`, with the code of `git_commit`.
    """

    use_case: str
    model: str
    version: str
    run_id: str
    fingerprint: str
    feature_service: str
    threshold: float
    as_of: datetime
    known_at: datetime
    loads: int
    views: str
    who: str
    git_commit: str
    begun_at: datetime

    @property
    def subject(self) -> tuple[str, str, str, datetime]:
        """What makes it another run, besides `known_at`: a registry that was made anew gives its numbers once more."""
        return self.model, self.version, self.run_id, self.as_of

    @property
    def title(self) -> str:
        """For people, without the moment up to which rows were known."""
        return f"{self.model} version {self.version} as of {self.as_of.astimezone(UTC).isoformat()}"

    @property
    def of_its_day(self) -> bool:
        """Whether no moment of knowledge was named: it is what was known when the run was begun."""
        return self.known_at == self.begun_at

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as a Parquet part keeps it."""
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        moments = {name: datetime.fromisoformat(data[name]) for name in ("as_of", "known_at", "begun_at")}
        return cls(**(dict(data) | moments))


@dataclass(frozen=True)
class Tally:
    """How far a run has come: so many users are `scored`, up to the key `last` in the order of keys.

    `answered` got a probability, `flagged` of them with flags; the others were refused, by code.
    """

    scored: int = 0
    answered: int = 0
    flagged: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    last: str | None = None

    def plus(self, *, flagged: int, answered: int, refused: Mapping[str, int], last: str) -> "Tally":
        """The tally after one more chunk."""
        return replace(
            self,
            scored=self.scored + answered + sum(refused.values()),
            answered=self.answered + answered,
            flagged=self.flagged + flagged,
            refused=dict(sorted((Counter(self.refused) + Counter(refused)).items())),
            last=last,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as kept with the results."""
        return asdict(self)
