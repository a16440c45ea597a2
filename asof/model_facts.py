"""ModelFacts: what travels inside a model's own folder, written when it is trained, read when it is served."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from asof.features.feature_contract import FeatureContract

DIRTY = "-dirty"
"""What follows a commit where files differed from it."""


@dataclass(frozen=True)
class Split:
    """Which rows are held out from training: about `share` of them (0 to 1).

    Without a seed, a hash of its key alone decides over a row, so that it is on the same side in every month. With a
    seed, the rows are drawn, stratified by label: exact shares for a small data set that does not grow.
    """

    share: float = 0.25
    seed: int | None = None


@dataclass(frozen=True)
class ModelFacts:
    """How a model came to be, and how it is to be used.

    `threshold` is the probability from which the answer is positive; `fingerprint` the SHA-256 of its training set and
    of all that defined it; `rows_digest` that of its rows alone, empty where none was recorded; `as_of` the moment of
    its features and labels; `known_at` the moment up to which rows were known; `model_digest` the SHA-256 of the fitted
    model itself (`training.models.fitting.model_digest`), empty where none was recorded. `derived` names the columns
    that are computed from the features before the model sees them; `ranges` holds the smallest and the greatest value
    of each numeric feature among the rows that it was fitted on, `categories` the values of each categorical one, where
    they were few enough to keep."""

    use_case: str
    estimator: str
    contract: FeatureContract
    threshold: float
    as_of: datetime
    known_at: datetime
    fingerprint: str
    random_state: int
    git_commit: str
    git_dirty: bool
    rows_digest: str = ""
    model_digest: str = ""
    split: Split = Split()
    derived: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def code_version(self) -> str:
        """The commit of the code that trained it, with `-dirty` where files differed from it or nothing is known."""
        return f"{self.git_commit}{DIRTY}" if self.git_dirty else self.git_commit

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as stored under `metadata: asof:` in the MLmodel file."""
        return asdict(self) | {
            "as_of": self.as_of.isoformat(),
            "known_at": self.known_at.isoformat(),
            "contract": self.contract.to_dict(),
            "derived": list(self.derived),
            "ranges": {name: list(ends) for name, ends in self.ranges.items()},
            "categories": {name: list(values) for name, values in self.categories.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; what a model from before a field's time lacks has that field's default."""
        read = {
            "as_of": datetime.fromisoformat(data["as_of"]),
            "known_at": datetime.fromisoformat(data["known_at"]),
            "contract": FeatureContract.from_dict(data["contract"]),
            "split": Split(**data.get("split", {})),
            "derived": tuple(data.get("derived", ())),
            "ranges": {name: (low, high) for name, (low, high) in data.get("ranges", {}).items()},
            "categories": {name: tuple(values) for name, values in data.get("categories", {}).items()},
        }
        return cls(**(dict(data) | read))


@dataclass(frozen=True)
class Lineage:
    """Where a served model comes from: its name and version in the registry, its run, and the Bento that serves it.

    `version` is None where the model is not registered; `run_id` is empty where there is no model yet.
    """

    name: str
    version: str | None
    run_id: str
    bento: str
