"""Reference: what monitoring compares later months with, kept among the artifacts of the model's run.

It has counts and means, no row, so nothing of an entity is in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from training.metrics.binning import Binned, binned_sample
from training.metrics.classification import Estimate, Floats

if TYPE_CHECKING:
    import pandas as pd

REFERENCE_FILE = "reference.json"


@dataclass(frozen=True)
class Scores:
    """Predictions of the held-out rows: of the positive class, of one of several classes, or numbers.

    `share_over_threshold` is None where the target has no threshold.
    """

    binned: Binned
    mean: float
    share_over_threshold: float | None = None


@dataclass(frozen=True)
class Reference:
    """What is known of a version from its training.

    `rows` of the training set and how many of them have no value (`missing`); the complete rows in bins by feature;
    the held-out predictions by class name, of two classes and of numbers by an empty name; `metrics`: the figures of
    the held-out rows with their 95 % intervals, infinite ends as None.
    """

    rows: int
    missing: Mapping[str, int]
    features: Mapping[str, Binned]
    scores: Mapping[str, Scores]
    metrics: Mapping[str, tuple[float, float | None, float | None]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as stored in reference.json."""
        plain: dict[str, Any] = TypeAdapter(Reference).dump_python(self, mode="json")
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; a field that an older reference lacks gets its default."""
        return TypeAdapter(cls).validate_python(data)

    @property
    def estimates(self) -> Mapping[str, Estimate]:
        """`metrics` with infinite ends."""
        return {
            name: Estimate(value, -np.inf if low is None else low, np.inf if high is None else high)
            for name, (value, low, high) in self.metrics.items()
        }


def features_of(features: "pd.DataFrame", names: Sequence[str]) -> dict[str, Binned]:
    """The columns of complete rows in bins made from them."""
    columns: dict[str, NDArray[Any]] = {name: features[name].to_numpy() for name in names}
    return {name: binned_sample(values) for name, values in columns.items()}


def scores_of(predictions: Floats, names: Sequence[str], threshold: float | None = None) -> dict[str, Scores]:
    """Predictions, shape (rows,) or (rows, classes), by class name."""
    columns = zip(names, np.atleast_2d(predictions.T), strict=True)
    return {
        name: Scores(
            binned_sample(values),
            float(values.mean()),
            None if threshold is None else float((values >= threshold).mean()),
        )
        for name, values in columns
    }
