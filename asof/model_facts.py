"""ModelFacts: the metadata in a model's folder, written by training and read by the service."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Self

from pydantic import TypeAdapter

from asof.features.feature_contract import FeatureContract
from asof.targets import AT_HALF, BinaryOutput, MulticlassOutput, Output, RegressionOutput

DIRTY = "-dirty"
"""Suffix of a commit where files differed from it."""


@dataclass(frozen=True)
class Split:
    """The rows held out from training: about `share` of them (0 to 1).

    Without a seed, the hash of its key assigns a row, so that it is on the same side in every month. With a seed, rows
    are drawn, stratified by class: exact shares for a small data set that does not grow.
    """

    share: float = 0.25
    seed: int | None = None


@dataclass(frozen=True)
class ModelFacts:
    """How a model was trained, and how to use it.

    `threshold` is the probability from which the answer is positive. `target` describes the predictions of a model of
    several classes or of a number, None of one of two classes, as of all older models; see `output`. `as_of` is the
    moment of its features and labels, `known_at` the moment up to which rows were known. `fingerprint` is the SHA-256
    of the training set and its definition, `rows_digest` that of its rows, `model_digest` that of the fitted model
    (`training.models.fitting.model_digest`); the last two are empty where they were not recorded. `derived` names the
    columns computed from the features. `ranges` has the minimum and maximum of each numeric feature in the training
    rows, `categories` the values of each categorical one, unless they are too many. `sample` is the share of the
    labelled entities that the training set has.
    """

    use_case: str
    estimator: str
    contract: FeatureContract
    threshold: float | None
    as_of: datetime
    known_at: datetime
    fingerprint: str
    random_state: int
    git_commit: str
    git_dirty: bool
    rows_digest: str = ""
    model_digest: str = ""
    split: Split = Split()
    sample: float = 1.0
    derived: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    target: MulticlassOutput | RegressionOutput | None = None

    @cached_property
    def output(self) -> Output:
        """What the model's predictions mean."""
        return self.target or (AT_HALF if self.threshold is None else BinaryOutput(self.threshold))

    @property
    def code_version(self) -> str:
        """The commit of the training code, with `-dirty` where files differed from it or it is unknown."""
        return f"{self.git_commit}{DIRTY}" if self.git_dirty else self.git_commit

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as stored under `metadata: asof:` in the MLmodel file."""
        plain: dict[str, Any] = TypeAdapter(ModelFacts).dump_python(self, mode="json")
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; a field that an older model lacks gets its default."""
        return TypeAdapter(cls).validate_python(data)


@dataclass(frozen=True)
class Lineage:
    """A served model's name and version in the registry, its run, and the Bento that serves it.

    `version` is None where it is not registered; `run_id` is empty where there is no model yet.
    """

    name: str
    version: str | None
    run_id: str
    bento: str
