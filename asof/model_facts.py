"""ModelFacts: what travels inside a model's own folder, written when it is trained, read when it is served."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from asof.feature_contract import FeatureContract


@dataclass(frozen=True)
class ModelFacts:
    """How a model came to be, and how it is to be used.

    `threshold` is the probability from which the answer is positive; `fingerprint` the SHA-256 of its training set;
    `as_of` the moment of its features and labels; `known_at` the moment up to which rows were known.
    """

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

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as stored under `metadata: asof:` in the MLmodel file."""
        times = {"as_of": self.as_of.isoformat(), "known_at": self.known_at.isoformat()}
        return asdict(self) | times | {"contract": self.contract.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        times = {name: datetime.fromisoformat(data[name]) for name in ("as_of", "known_at")}
        return cls(**(dict(data) | times | {"contract": FeatureContract.from_dict(data["contract"])}))
