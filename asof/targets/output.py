"""Output: what the numbers of a fitted model mean, whatever its target."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asof.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Prediction = float | list[float]
"""Of one row: a probability or a value, or the probabilities of all classes."""

TOLERANCE = 1e-6
"""The largest accepted difference of two predictions of one row; see `Output.differences`."""


class Output(Protocol):
    """Reads, checks and compares the predictions of a fitted model.

    `threshold` is the probability from which the answer is positive, None where there is none. `method` is the
    estimator's that predicts, `graph_output` the name of a graph's only output.
    """

    @property
    def threshold(self) -> float | None: ...

    @property
    def method(self) -> str: ...

    @property
    def graph_output(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one prediction: empty, or the number of classes."""

    def of_estimator(self, estimator: Any, features: "pd.DataFrame") -> Floats:
        """The predictions of a fitted scikit-learn estimator. Raises what it raises."""

    def of_graph(self, values: Floats) -> Floats:
        """The predictions in a graph's output, shape (rows, columns). Raises ModelError for other columns."""

    def checked(self, prediction: Prediction) -> Prediction:
        """The prediction. Raises ArithmeticError, or PredictionOutOfRange, for an impossible one."""

    def score(self, prediction: Any) -> Any:
        """What the use case's `respond` takes."""

    def decisions(self, predictions: Sequence[Any]) -> list[int | None]:
        """The place of the class that each prediction of the model answers; None for a number."""

    def differences(self, ours: Floats, theirs: Floats) -> Floats:
        """The difference of two predictions of each row, shape (rows,): absolute for probabilities, else relative."""

    def flipped(self, ours: Floats, theirs: Floats) -> int:
        """The number of rows in which the answers differ."""

    def facts(self) -> Mapping[str, Any]:
        """Its fields of ModelFacts."""


def require_columns(values: Floats, columns: int) -> None:
    """Raises ModelError where a graph's output, shape (rows, columns), has another number of columns."""
    if values.ndim != 2 or values.shape[1] != columns:
        raise ModelError(
            f"The compiled model gives {values.shape[1:]} numbers a row, not {columns}: train and bundle again."
        )
