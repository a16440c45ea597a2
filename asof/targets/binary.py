"""Binary: two classes. The prediction is the probability of the second, which is called positive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import StrictBool

from asof.errors import AsOfError, ConfigurationError, ModelError
from asof.extracts.schema import Column, Kind
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
    """What an answer costs, in one currency: a missed positive, a false alarm, and the right answers.

    A gain is a negative cost. Acting at the cost c on a positive, with a benefit b, is `Costs(missed=0, false_alarm=c,
    true_positive=c - b)`. Raises ConfigurationError unless all are finite and each wrong answer costs more than the
    right one.
    """

    missed: float
    false_alarm: float
    true_positive: float = 0.0
    true_negative: float = 0.0

    def __post_init__(self) -> None:
        dearer = self.missed > self.true_positive and self.false_alarm > self.true_negative
        if not (dearer and np.isfinite([*vars(self).values()]).all()):
            raise ConfigurationError(
                f"{self}: all costs must be finite, and a wrong answer cost more than the right one. Correct them, or "
                "leave costs out."
            )

    @property
    def matrix(self) -> Floats:
        """Shape (2, 2): a row for each true class, a column for each answer."""
        return np.array([[self.true_negative, self.false_alarm], [self.missed, self.true_positive]])


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
    unit: ClassVar[None] = None
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

    def decisions(self, predictions: Sequence[Any]) -> list[int | None]:
        return [int(each >= self.threshold) for each in predictions]

    def differences(self, ours: Floats, theirs: Floats) -> Floats:
        return np.abs(ours - theirs)

    def flipped(self, ours: Floats, theirs: Floats) -> int:
        return int(((ours >= self.threshold) != (theirs >= self.threshold)).sum())

    def facts(self) -> Mapping[str, Any]:
        return {"threshold": self.threshold}


AT_HALF = BinaryOutput(0.5)
FALSE_AND_TRUE = Binary(("False", "True"))
"""Of labels whose use case is not known."""
