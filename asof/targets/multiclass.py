"""Multiclass: one of several classes. A prediction is the probability of each, in the order of the target."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from asof.errors import AsOfError, ConfigurationError, ModelError
from asof.extract_schema import Column, Kind
from asof.targets.output import Floats, Output, Prediction, require_columns

if TYPE_CHECKING:
    import pandas as pd

SUM_TOLERANCE = 1e-6
"""How far the probabilities of one row may sum to something else than 1."""


@dataclass(frozen=True)
class ClassScore:
    """The model's result for one row: the probability of each class by name, in the target's order."""

    probabilities: Mapping[str, float]

    @property
    def class_name(self) -> str:
        """The most probable class; the first of several."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


@dataclass(frozen=True)
class Multiclass:
    """Labels are the names in `classes`, at least two. Their order is that of the codes 0, 1, ... and is kept.

    Raises ConfigurationError for fewer, or for a name that is empty or comes twice.
    """

    classes: tuple[str, ...]

    label_type: ClassVar[str] = "String"
    problems: ClassVar[tuple[type[AsOfError], ...]] = ()
    """What a prediction may raise because of its features."""

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len({*self.classes}) < len(self.classes) or not all(self.classes):
            raise ConfigurationError(f"The classes {self.classes} must be two or more different names. Change them.")

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
    """The output of a model of several classes; `classes` are in the order of its probabilities."""

    classes: tuple[str, ...]

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
        return ClassScore(dict(zip(self.classes, prediction, strict=True)))

    def differences(self, ours: Floats, theirs: Floats) -> Floats:
        differences: Floats = np.abs(ours - theirs)
        return np.asarray(differences.max(axis=1))

    def flipped(self, ours: Floats, theirs: Floats) -> int:
        return int((ours.argmax(axis=1) != theirs.argmax(axis=1)).sum())

    def facts(self) -> Mapping[str, Any]:
        return {"threshold": None, "target": self}
