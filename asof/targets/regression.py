"""Regression: a number. A prediction is the value; its interval is the value plus and minus a fixed margin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from asof.errors import AsOfError, ConfigurationError, ModelError, PredictionOutOfRange
from asof.extracts.schema import Column, Kind
from asof.targets.output import Floats, Output, Prediction, require_columns

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ValueScore:
    """The model's result for one row, in `unit`: a value, and an interval for `coverage` of the outcomes (0 to 1)."""

    value: float
    low: float
    high: float
    unit: str
    coverage: float


@dataclass(frozen=True)
class Regression:
    """Labels are finite numbers in `unit`, from `minimum` to `maximum` where these are given.

    `coverage` is the share of outcomes (0 to 1) that the interval of an answer is to contain. Raises
    ConfigurationError for one outside, or a range that is empty.
    """

    unit: str
    minimum: float | None = None
    maximum: float | None = None
    coverage: float = 0.9

    label_type: ClassVar[str] = "Float64"
    classes: ClassVar[None] = None
    problems: ClassVar[tuple[type[AsOfError], ...]] = (PredictionOutOfRange,)
    """What a prediction may raise because of its features."""

    def __post_init__(self) -> None:
        if not 0 < self.coverage < 1:
            raise ConfigurationError(f"The coverage {self.coverage} must be between 0 and 1, such as 0.9. Change it.")
        low, high = self.range
        if not low < high:
            raise ConfigurationError(f"No label is from {self.minimum} to {self.maximum}. Change the target's range.")

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest possible value."""
        return _range(self.minimum, self.maximum)

    @property
    def outcome_type(self) -> Any:
        """The type of an outcome in JSON."""
        return Annotated[float, Field(strict=True, allow_inf_nan=False, ge=self.minimum, le=self.maximum)]

    def check_column(self, column: Column) -> None:
        """Raises ConfigurationError where a raw column cannot hold the labels."""
        if column.kind is not Kind.NUMBER:
            raise ConfigurationError(
                f"The label {column.name} is of kind {column.kind}, and the target Regression takes a number. "
                "Change one."
            )

    def check_output(self, output: Output) -> None:
        """Raises ModelError for the output of a model of another target, or in another unit."""
        if not (isinstance(output, RegressionOutput) and output.unit == self.unit):
            known = output.unit if isinstance(output, RegressionOutput) else "another target"
            raise ModelError(f"The model was trained for {known}, and the use case predicts {self.unit}. Train again.")


@dataclass(frozen=True)
class RegressionOutput:
    """The output of a model of a number. `margin` is half the width of an interval, in `unit`; 0 to infinity."""

    unit: str
    margin: float
    coverage: float
    minimum: float | None = None
    maximum: float | None = None

    threshold: ClassVar[None] = None
    method: ClassVar[str] = "predict"
    graph_output: ClassVar[str] = "variable"
    shape: ClassVar[tuple[int, ...]] = ()

    def of_estimator(self, estimator: Any, features: "pd.DataFrame") -> Floats:
        """The value of each row, shape (rows,)."""
        return np.asarray(estimator.predict(features), dtype=np.float64).reshape(len(features))

    def of_graph(self, values: Floats) -> Floats:
        require_columns(values, 1)
        return values[:, 0]

    def checked(self, prediction: Prediction) -> Prediction:
        low, high = self.range
        if isinstance(prediction, list) or not (isfinite(prediction) and low <= prediction <= high):
            possible = "a finite number" if (low, high) == (-inf, inf) else f"{low:g} to {high:g}"
            raise PredictionOutOfRange(
                f"The model predicts {prediction} {self.unit}, and only {possible} is possible: "
                "check the features, which may be unlike those that it was trained on."
            )
        return prediction

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest possible value."""
        return _range(self.minimum, self.maximum)

    def score(self, prediction: Any) -> ValueScore:
        (least, greatest), margin = self.range, self.margin
        low, high = max(prediction - margin, least), min(prediction + margin, greatest)
        return ValueScore(prediction, low, high, self.unit, self.coverage)

    def decisions(self, predictions: Sequence[Any]) -> list[int | None]:
        return [None] * len(predictions)

    def differences(self, ours: Floats, theirs: Floats) -> Floats:
        """Relative to the value, or to the margin where that is greater: near zero few digits count."""
        scale = np.maximum(np.abs(theirs), self.margin)
        differences = np.abs(np.subtract(ours, theirs, out=np.zeros_like(theirs), where=ours != theirs))  # inf is inf
        return np.divide(differences, scale, out=differences.copy(), where=scale > 0)

    def flipped(self, ours: Floats, theirs: Floats) -> int:
        return 0

    def facts(self) -> Mapping[str, Any]:
        return {"threshold": None, "target": self}


def _range(minimum: float | None, maximum: float | None) -> tuple[float, float]:
    return -inf if minimum is None else minimum, inf if maximum is None else maximum
