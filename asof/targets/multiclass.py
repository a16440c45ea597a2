"""Multiclass: one of several classes. A prediction is the probability of each, in the order of the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from asof.errors import AsOfError, ConfigurationError, ModelError
from asof.extracts.schema import Column, Kind
from asof.targets.costs import CostMatrix, check_costs, expected_costs
from asof.targets.output import Floats, Output, Prediction, require_columns

if TYPE_CHECKING:
    import pandas as pd

SUM_TOLERANCE = 1e-6
"""How far the probabilities of one row may sum to something else than 1."""


@dataclass(frozen=True)
class ClassScore:
    """The model's result for one row: the probability of each class by name, in the target's order."""

    probabilities: Mapping[str, float]
    costs: CostMatrix | None = None

    @property
    def class_name(self) -> str:
        """The most probable class, or that of the least expected cost; the first of several."""
        if self.costs is None:
            return max(self.probabilities, key=self.probabilities.__getitem__)
        (expected,) = expected_costs(np.array([[*self.probabilities.values()]]), self.costs)
        return list(self.probabilities)[int(expected.argmin())]


@dataclass(frozen=True)
class Multiclass:
    """Labels are the names in `classes`, at least two. Their order is that of the codes 0, 1, ... and is kept.

    With `costs` (a row for each true class, a column for each answer, in the same order) the answer is the class of the
    least expected cost, else the most probable one. Raises ConfigurationError for fewer classes, for a name that is
    empty or comes twice, and for costs as `check_costs` does.
    """

    classes: tuple[str, ...]
    costs: CostMatrix | None = None

    label_type: ClassVar[str] = "String"
    unit: ClassVar[None] = None
    problems: ClassVar[tuple[type[AsOfError], ...]] = ()
    """What a prediction may raise because of its features."""

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len({*self.classes}) < len(self.classes) or not all(self.classes):
            raise ConfigurationError(f"The classes {self.classes} must be two or more different names. Change them.")
        if self.costs is not None:
            check_costs(self.costs, self.classes)

    @property
    def outcome_type(self) -> Any:
        """The type of an outcome in JSON."""
        return Literal[self.classes]

    def check_column(self, column: Column) -> None:
        """Raises ConfigurationError where a raw column cannot hold the labels."""
        if column.kind is not Kind.TEXT or {*column.allowed} != {*self.classes}:
            raise ConfigurationError(
                f"The label {column.name} must be a text with allowed={self.classes}, the classes of its target. "
                "Change one of them."
            )

    def check_output(self, output: Output) -> None:
        """Raises ModelError for the output of a model of another target, or of other classes."""
        if not (isinstance(output, MulticlassOutput) and output.classes == self.classes):
            known = ", ".join(output.classes) if isinstance(output, MulticlassOutput) else "another target"
            raise ModelError(
                f"The model was trained for {known}, and the use case has the classes {', '.join(self.classes)}: "
                "train again."
            )


@dataclass(frozen=True)
class MulticlassOutput:
    """The output of a model of several classes, in the order of its probabilities; `costs` are those it answers by."""

    classes: tuple[str, ...]
    costs: CostMatrix | None = None

    threshold: ClassVar[None] = None
    method: ClassVar[str] = "predict_proba"
    graph_output: ClassVar[str] = "probabilities"

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.classes),)

    def of_estimator(self, estimator: Any, features: "pd.DataFrame") -> Floats:
        """The probability of each class, shape (rows, classes)."""
        order = [list(estimator.classes_).index(code) for code in range(len(self.classes))]
        values: Floats = np.asarray(estimator.predict_proba(features), dtype=np.float64)[:, order]
        return values

    def of_graph(self, values: Floats) -> Floats:
        require_columns(values, len(self.classes))
        return values

    def checked(self, prediction: Prediction) -> Prediction:
        valid = isinstance(prediction, list) and all(0 <= each <= 1 for each in prediction)
        if not (isinstance(prediction, list) and valid and abs(sum(prediction) - 1) <= SUM_TOLERANCE):
            raise ArithmeticError(f"The model returned {prediction}, which are not the probabilities of its classes.")
        return prediction

    def score(self, prediction: Any) -> ClassScore:
        return ClassScore(dict(zip(self.classes, prediction, strict=True)), self.costs)

    def answers(self, predictions: Floats) -> NDArray[np.int64]:
        """The code of each row's answer, shape (rows,), as `ClassScore.class_name`."""
        if self.costs is None:
            return np.asarray(predictions.argmax(axis=1))
        return np.asarray(expected_costs(predictions, self.costs).argmin(axis=1))

    def decisions(self, predictions: Sequence[Any]) -> list[int | None]:
        decided: list[int | None] = self.answers(np.array(predictions).reshape(-1, *self.shape)).tolist()
        return decided

    def differences(self, ours: Floats, theirs: Floats) -> Floats:
        differences: Floats = np.abs(ours - theirs)
        return np.asarray(differences.max(axis=1))

    def flipped(self, ours: Floats, theirs: Floats) -> int:
        return int((self.answers(ours) != self.answers(theirs)).sum())

    def facts(self) -> Mapping[str, Any]:
        return {"threshold": None, "target": self}
