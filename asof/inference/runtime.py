"""What computes a model's predictions: ONNX Runtime for a compiled model, else scikit-learn.

A compiled model needs only NumPy and ONNX Runtime.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asof.errors import ModelError
from asof.features.feature_contract import as_frame
from asof.targets import AT_HALF, Output, Prediction

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from sklearn.base import BaseEstimator

MODEL_ONNX = "model.onnx"
"""The compiled model in a model's MLflow folder."""
LIMITS = "asof_limits"
"""The key of the InputLimits, as JSON, in its metadata."""
MISSING = "\x00missing"
"""The category that represents a missing one in the graph, whose strings cannot be null."""
BLOCKING_BYTES = 2**20
"""A larger graph is a big forest: 64 rows take 5 to 10 ms, too long for the event loop."""
SINGLE_PRECISION = ("MatMulScaleFusion",)
"""Optimisers that round: this one makes of a scaler's only column a factor in single precision."""
NO_FOLDER = "/dev/null"
"""The folder for weights outside the graph's file: there is none. The default is the working folder."""


class Runtime(Protocol):
    """Computes predictions. `blocking`: it takes too long for the event loop."""

    @property
    def name(self) -> str: ...

    @property
    def blocking(self) -> bool: ...

    def predict(self, arrays: Mapping[str, NDArray[Any]]) -> Sequence[Prediction]:
        """The predictions for n rows from `asof.features.feature_contract.input_arrays`."""


@dataclass(frozen=True)
class ScikitLearn:
    """A fitted estimator as it was trained; `predict` raises what it raises."""

    estimator: "BaseEstimator"
    output: Output = AT_HALF
    name: str = "scikit-learn"
    blocking: bool = True

    def predict(self, arrays: Mapping[str, NDArray[Any]]) -> Sequence[Prediction]:
        predictions: list[Prediction] = self.output.of_estimator(self.estimator, as_frame(arrays)).tolist()
        return predictions


@dataclass(frozen=True)
class InputLimits:
    """Inputs that scikit-learn refuses and a graph would accept.

    `missing`: the columns that must have a value. `largest`: the greatest number of a column, where limited, and
    without its sign the least one, where `least` has no other.
    """

    missing: Sequence[str] = ()
    largest: Mapping[str, float] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)


class Onnx:
    """A compiled model; runs in the caller's thread."""

    name = "onnx"

    def __init__(self, content: bytes, output: Output = AT_HALF) -> None:
        """Raises ModelError where the bytes are not a self-contained graph with such an output."""
        self.blocking = len(content) > BLOCKING_BYTES
        self._output, self._session = output, open_graph(content, output.graph_output)
        limits = self._session.get_modelmeta().custom_metadata_map.get(LIMITS)
        self._limits = InputLimits(**json.loads(limits)) if limits else InputLimits()
        self._inputs = GraphInputs(self._session, self._limits.missing)
        names, largest = self._inputs.numbers, self._limits.largest
        self._largest = np.array([[largest.get(name, np.inf)] for name in names])
        self._least = np.array([[self._limits.least.get(name, -largest.get(name, np.inf))] for name in names])

    def predict(self, arrays: Mapping[str, NDArray[Any]]) -> Sequence[Prediction]:
        """Raises ValueError for a value that scikit-learn refuses, TypeError for a category that is not a string."""
        numbers = [arrays[name] for name in self._inputs.numbers]
        if numbers:
            self._check(np.concatenate(numbers).reshape(len(numbers), -1))
        feed = self._inputs.feed(arrays)
        predictions = self._output.of_graph(self._session.run([self._output.graph_output], feed)[0])
        if np.isnan(predictions).any():
            raise ValueError("The model has no answer: a number is missing, infinite or too large.")
        result: list[Prediction] = predictions.tolist()
        return result

    def _check(self, numbers: NDArray[np.float64]) -> None:
        """Checks numbers of shape (columns, rows) against the limits; one comparison suffices where all are within."""
        within = (numbers <= self._largest) & (numbers >= self._least)  # a NaN is not
        if within.all():
            return
        for name, valid, values in zip(self._inputs.numbers, within, numbers, strict=True):
            invalid = values[~valid]
            if not np.isnan(invalid).all() or (invalid.size and name in self._limits.missing):
                raise ValueError(f"{name} is missing, infinite or too large: {invalid[0]}.")


class GraphInputs:
    """The inputs of a graph by name: categories (text) and numbers; `required` are those without missing values."""

    def __init__(self, session: "InferenceSession", required: Sequence[str] = ()) -> None:
        inputs = {each.name: each.type for each in session.get_inputs()}
        self.categories = [name for name, dtype in inputs.items() if dtype == "tensor(string)"]
        self.numbers = [name for name in inputs if name not in self.categories]
        self._required = required

    def feed(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Each of shape (rows, 1). Raises ValueError for a missing category, TypeError for one that is no string."""
        numbers = {name: arrays[name].reshape(-1, 1) for name in self.numbers}
        return numbers | {name: self._encoded(name, arrays[name]).reshape(-1, 1) for name in self.categories}

    def _encoded(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """Categories with MISSING in place of None and NaN."""
        if all(type(value) is str for value in values.tolist()):
            return values
        missing = np.array([value is None or value != value for value in values])
        if missing.any() and name in self._required:
            raise ValueError(f"{name} is missing.")
        if invalid := [value for value in values[~missing] if not isinstance(value, str)]:
            raise TypeError(f"{name} is {invalid[0]!r}, which is not a string.")
        return np.where(missing, MISSING, values)


def open_graph(content: bytes, output: str) -> "InferenceSession":
    """A session with one thread: batches are small, and the other processors have their own workers.

    Raises ModelError where the bytes are not a self-contained graph with this only output.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # errors are raised
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NO_FOLDER)
    try:
        session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"], disabled_optimizers=SINGLE_PRECISION
        )
    except Exception as error:  # onnxruntime's errors have no other common base class
        raise ModelError(f"{MODEL_ONNX} does not load: train and bundle again. ({error})") from error
    if [each.name for each in session.get_outputs()] != [output]:
        raise ModelError(f"The output of {MODEL_ONNX} is not {output}: train and bundle again.")
    return session
