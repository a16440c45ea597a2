"""Reference: what monitoring compares later months with, kept among the artifacts of the model's run.

It has counts and means, no row, so nothing of an entity is in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray
from pydantic import TypeAdapter

from asof.features.feature_contract import FeatureContract, model_frame
from training.features.datasets.training_set import finite_rows
from training.metrics.binning import Binned, Bins, binned_sample
from training.metrics.calibration import Recalibration, ReliabilityBin, by_class, recalibration, reliability
from training.metrics.classification import Estimate, Floats
from training.metrics.slicing import slices_of
from training.metrics.statistics import share_interval
from training.models.fitting.fit import FittedModel
from training.targets.rules import Labels, Rules, too_few

if TYPE_CHECKING:
    import pandas as pd

Ends = tuple[float, float | None, float | None]
SLICES = 4
"""Parts of a number's values in the training rows."""


@dataclass(frozen=True)
class Scores:
    """Predictions of the held-out rows: of the positive class, of one of several classes, or numbers.

    `share_over_threshold` is None where the target has no threshold.
    """

    binned: Binned
    mean: float
    share_over_threshold: float | None = None


@dataclass(frozen=True)
class Calibration:
    """Of the held-out rows; `recalibration` is None where they do not determine it."""

    bins: tuple[ReliabilityBin, ...]
    recalibration: Recalibration | None


@dataclass(frozen=True)
class Reference:
    """What is known of a version from its training.

    `rows` of the training set and how many of them have no value (`missing`); the complete rows in bins by feature;
    the held-out predictions by class name, of two classes and of numbers by an empty name; by the same names the
    calibration of probabilities; the bins of the use case's slices, quarters of numbers, and the target's main figure
    of each (`column=bin`); `metrics`: the figures of the held-out rows. Figures have the ends of their 95 % intervals,
    infinite ones as None. `enough`: the gate would compare a model on the held-out rows.

    Without `scores` the version is from before there were references, and only its training rows are known.
    """

    rows: int
    missing: Mapping[str, int]
    features: Mapping[str, Binned]
    scores: Mapping[str, Scores]
    calibration: Mapping[str, Calibration] = field(default_factory=dict)
    slices: Mapping[str, Bins] = field(default_factory=dict)
    slice_metrics: Mapping[str, Ends] = field(default_factory=dict)
    metrics: Mapping[str, Ends] = field(default_factory=dict)
    enough: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as stored in reference.json."""
        plain: dict[str, Any] = TypeAdapter(Reference).dump_python(self, mode="json")
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; a field that an older reference lacks gets its default."""
        return TypeAdapter(cls).validate_python(data)

    @property
    def estimates(self) -> dict[str, Estimate]:
        """`metrics` with infinite ends; none of too few rows, whose intervals miss more often than they say."""
        return {name: estimate_of(each) for name, each in self.metrics.items()} if self.enough else {}

    @property
    def slice_estimates(self) -> dict[str, Estimate]:
        """`slice_metrics` with infinite ends."""
        return {name: estimate_of(each) for name, each in self.slice_metrics.items()}

    @property
    def reliability(self) -> dict[str, tuple[ReliabilityBin, ...]]:
        """The bins of `calibration`."""
        return {name: each.bins for name, each in self.calibration.items()}

    @property
    def recalibrations(self) -> dict[str, Recalibration | None]:
        """Those of `calibration`."""
        return {name: each.recalibration for name, each in self.calibration.items()}


def reference_of_model(fitted: FittedModel, predictions: Floats) -> Reference:
    """The reference of a fitted model, with its predictions of the held-out rows."""
    import pandas as pd

    rules, side, threshold = fitted.rules, fitted.held_out, fitted.facts.threshold
    complete = pd.concat([fitted.train_side.frame, side.frame], ignore_index=True)
    rows = reference_of_rows(complete, side.contract, slices=fitted.use_case.slices)
    estimates = rules.estimates(side.labels, predictions)
    return replace(
        rows,
        rows=len(complete) + fitted.dropped,
        missing=fitted.missing,
        scores={name: _scores(each, threshold) for name, each in _columns(rules, predictions).items()},
        calibration=_calibration(rules, side.labels, predictions),
        slice_metrics=_slice_metrics(rows, fitted, predictions),
        metrics={name: finite_ends(each) for name, each in estimates.items()} | _base_rate(rules, side.labels),
        enough=not too_few(rules, side.labels, fitted.use_case.gate),
    )


def reference_of_rows(frame: "pd.DataFrame", contract: FeatureContract, *, slices: Sequence[str] = ()) -> Reference:
    """What the rows of a training set tell; those without a feature are counted apart, as none of them is scored."""
    features = model_frame(frame, contract)
    complete = features[finite_rows(features)]
    columns: dict[str, NDArray[Any]] = {name: complete[name].to_numpy() for name in contract.names}
    return Reference(
        rows=len(frame),
        missing={name: int(features[name].isna().sum()) for name in contract.names},
        features={name: binned_sample(values) for name, values in columns.items()},
        scores={},
        slices={name: binned_sample(columns[name], parts=SLICES).bins for name in slices},
    )


def finite_ends(estimate: Estimate) -> Ends:
    """Value, low and high, infinite ends as None: JSON has no infinity."""
    low, high = (end if isfinite(end) else None for end in (estimate.low, estimate.high))
    return estimate.value, low, high


def estimate_of(ends: Ends) -> Estimate:
    """The inverse of `finite_ends`."""
    value, low, high = ends
    return Estimate(value, -inf if low is None else low, inf if high is None else high)


def _slice_metrics(reference: Reference, fitted: FittedModel, predictions: Floats) -> dict[str, Ends]:
    """Without the slices of which the held-out rows have no such figure."""
    side, rules = fitted.held_out, fitted.rules
    columns = {name: side.features[name].to_numpy() for name in reference.slices}
    found = {
        name: rules.estimates(side.labels[rows], predictions[rows]).get(rules.headline.metric)
        for name, rows in slices_of(reference.slices, columns)
    }
    return {name: finite_ends(each) for name, each in found.items() if each is not None}


def _columns(rules: Rules, predictions: Floats) -> dict[str, Floats]:
    """Predictions by class name, or under an empty name."""
    if predictions.ndim == 1:
        return {"": predictions}
    return dict(zip(rules.target.classes or (), predictions.T, strict=True))


def _scores(values: Floats, threshold: float | None) -> Scores:
    over = None if threshold is None else float((values >= threshold).mean())
    return Scores(binned_sample(values), float(values.mean()), over)


def _calibration(rules: Rules, labels: Labels, predictions: Floats) -> dict[str, Calibration]:
    """Empty for a number."""
    return {
        name: Calibration(tuple(reliability(*each)), recalibration(*each))
        for name, each in by_class(rules.target.classes, labels, predictions).items()
    }


def _base_rate(rules: Rules, labels: Labels) -> dict[str, Ends]:
    if (rate := rules.rate(labels)) is None:
        return {}
    return {"base_rate": (rate, *share_interval(int(labels.sum()), labels.size))}
