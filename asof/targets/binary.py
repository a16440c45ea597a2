"""Binary: two classes. The prediction is the probability of the second, which is called positive."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import StrictBool

from asof.errors import AsOfError, ConfigurationError, ModelError
from asof.extract_schema import Column, Kind
from asof.targets.output import Floats, Output, Prediction, require_columns

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Score:
    """The model's result for one row: the probability of the positive class and the decision threshold."""

    probability: float
    threshold: float

    @property
    def positive(self) -> bool:
        return self.probability >= self.threshold


@dataclass(frozen=True)
class Costs:
    """What a wrong answer costs, in one currency: a positive that was missed, and a false alarm.

    Acting at the cost c on a positive, with a benefit b, is `Costs(missed=b - c, false_alarm=c)`. Raises
    ConfigurationError unless both are above zero.
    """

    missed: float
    false_alarm: float

    def __post_init__(self) -> None:
        if not (0 < self.missed < np.inf and 0 < self.false_alarm < np.inf):
            raise ConfigurationError(f"{self}: both costs must be finite and above zero. Leave costs out otherwise.")


@dataclass(frozen=True)
class Binary:
    """Labels are False and True, which `classes` names in this order.

    From the probability `threshold` on, the second is the answer. None: the threshold of the least expected cost on
    the training rows, where `costs` are stated, else that of the greatest F1.
    """

    classes: tuple[str, str]
    threshold: float | None = None
    costs: Costs | None = None

    label_type: ClassVar[str] = "Bool"
    outcome_type: ClassVar[Any] = StrictBool
    """The type of an outcome in JSON."""
    problems: ClassVar[tuple[type[AsOfError], ...]] = ()
    """What a prediction may raise because of its features."""

    def check_column(self, column: Column) -> None:
        """Raises ConfigurationError where a raw column cannot hold the labels."""
        if column.kind is not Kind.BOOLEAN:
            raise ConfigurationError(
                f"The label {column.name} is of kind {column.kind}, and the target Binary takes a boolean. Change one."
            )

    def check_output(self, output: Output) -> None:
        """Raises ModelError for the output of a model of another target."""
        if not isinstance(output, BinaryOutput):
            raise ModelError("The model was trained for another target than two classes. Train again.")


@dataclass(frozen=True)
class BinaryOutput:
    """The output of a model of two classes."""

    threshold: float

    method: ClassVar[str] = "predict_proba"
    graph_output: ClassVar[str] = "probabilities"
    shape: ClassVar[tuple[int, ...]] = ()

    def of_estimator(self, estimator: Any, features: "pd.DataFrame") -> Floats:
        """The probability of class 1, shape (rows,)."""
        positive = list(estimator.classes_).index(1)
        return np.asarray(estimator.predict_proba(features), dtype=np.float64)[:, positive]

    def of_graph(self, values: Floats) -> Floats:
        require_columns(values, 2)
        return values[:, 1]

    def checked(self, prediction: Prediction) -> Prediction:
        if not (isinstance(prediction, float | int) and 0 <= prediction <= 1):  # a NaN is not
            raise ArithmeticError(f"The model returned {prediction}, which is not a probability.")
        return prediction

    def score(self, prediction: Any) -> Score:
        return Score(prediction, self.threshold)

    def differences(self, ours: Floats, theirs: Floats) -> Floats:
        return np.abs(ours - theirs)

    def flipped(self, ours: Floats, theirs: Floats) -> int:
        return int(((ours >= self.threshold) != (theirs >= self.threshold)).sum())

    def facts(self) -> Mapping[str, Any]:
        return {"threshold": self.threshold}


AT_HALF = BinaryOutput(0.5)
FALSE_AND_TRUE = Binary(("False", "True"))
"""Of labels whose use case is not known."""
