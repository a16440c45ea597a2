"""A model's file -> what computes its probabilities: ONNX Runtime where the model was compiled, else scikit-learn.

Nothing but NumPy and ONNX Runtime is loaded for a compiled model.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asof.errors import ModelError
from asof.features.feature_contract import as_frame

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from sklearn.base import ClassifierMixin

MODEL_ONNX = "model.onnx"
"""The compiled model in MLflow's folder of a model."""
PROBABILITIES = "probabilities"
"""The one output of its graph, shape (rows, 2)."""
LIMITS = "asof_limits"
"""Its metadata that hold the Limits as JSON."""
MISSING = "\x00missing"
"""A category that nothing has: what a missing one is for the graph, whose texts cannot be absent."""
LARGE = 2**20
"""Bytes above which a graph is a big forest: it takes 0.1 ms for a row, as all do, but 5 to 10 ms for 64."""
NO_FOLDER = "/dev/null"
"""Where a graph may look for weights outside of its file: nowhere. By default that is the working folder."""


class Runtime(Protocol):
    """What computes probabilities. `blocking` tells whether it takes too long for the event loop."""

    @property
    def name(self) -> str: ...

    @property
    def blocking(self) -> bool: ...

    def probabilities(self, arrays: Mapping[str, NDArray[Any]]) -> list[float]:
        """The probabilities (0 to 1) of class 1 for n rows, given as `asof.features.feature_contract.input_arrays`."""


@dataclass(frozen=True)
class ScikitLearn:
    """A fitted classifier as it was trained. Raises whatever it raises."""

    estimator: "ClassifierMixin"
    name: str = "scikit-learn"
    blocking: bool = True

    def probabilities(self, arrays: Mapping[str, NDArray[Any]]) -> list[float]:
        positive = list(self.estimator.classes_).index(1)
        probabilities: list[float] = self.estimator.predict_proba(as_frame(arrays))[:, positive].tolist()
        return probabilities


@dataclass(frozen=True)
class Limits:
    """What scikit-learn refuses and a graph would take.

    `missing` names the columns that must have a value; `largest` is the greatest number that a column may hold, where
    there is one.
    """

    missing: Sequence[str] = ()
    largest: Mapping[str, float] = field(default_factory=dict)


class Onnx:
    """A compiled model; it runs in the caller's thread."""

    name = "onnx"

    def __init__(self, content: bytes) -> None:
        """Raises ModelError where the bytes are no graph that stands by itself."""
        self.blocking = len(content) > LARGE
        self._session = _session(content)
        kinds = {each.name: each.type for each in self._session.get_inputs()}
        self._texts = [name for name, kind in kinds.items() if kind == "tensor(string)"]
        self._numbers = [name for name in kinds if name not in self._texts]
        told = self._session.get_modelmeta().custom_metadata_map.get(LIMITS)
        self._limits = Limits(**json.loads(told)) if told else Limits()
        self._largest = np.array([[self._limits.largest.get(name, np.inf)] for name in self._numbers])

    def probabilities(self, arrays: Mapping[str, NDArray[Any]]) -> list[float]:
        """Raises ValueError for a value that scikit-learn refuses, TypeError for a category that is no text."""
        numbers = [arrays[name] for name in self._numbers]
        if numbers:
            self._check(np.concatenate(numbers).reshape(len(numbers), -1))
        feed = {name: values.reshape(-1, 1) for name, values in zip(self._numbers, numbers, strict=True)}
        feed |= {name: self._given(name, arrays[name]).reshape(-1, 1) for name in self._texts}
        told: NDArray[np.float64] = self._session.run([PROBABILITIES], feed)[0][:, 1]
        if np.isnan(told).any():
            raise ValueError("The model has no answer: a number is missing, infinite or too large.")
        probabilities: list[float] = told.tolist()
        return probabilities

    def _check(self, numbers: NDArray[np.float64]) -> None:
        """Of numbers of shape (columns, rows). That none is odd is found out at once."""
        within = np.abs(numbers) <= self._largest  # not so is a NaN
        if within.all():
            return
        for name, good, values in zip(self._numbers, within, numbers, strict=True):
            odd = values[~good]
            if not np.isnan(odd).all() or (odd.size and name in self._limits.missing):
                raise ValueError(f"{name} is missing, infinite or too large: {odd[0]}.")

    def _given(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """Categories as the graph takes them."""
        if all(type(value) is str for value in values.tolist()):
            return values
        absent = np.array([value is None or value != value for value in values])  # so is a NaN
        if absent.any() and name in self._limits.missing:
            raise ValueError(f"{name} is missing.")
        if strange := [value for value in values[~absent] if not isinstance(value, str)]:
            raise TypeError(f"{name} is {strange[0]!r}, which is no text.")
        return np.where(absent, MISSING, values)


def _session(content: bytes) -> "InferenceSession":
    """One thread: a batch of rows is small, and the other processors have workers of their own."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # what is wrong is raised
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NO_FOLDER)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its types have no common root but Exception
        raise ModelError(f"{MODEL_ONNX} does not load: train and bundle again. ({error})") from error
    if [each.name for each in session.get_outputs()] != [PROBABILITIES]:
        raise ModelError(f"{MODEL_ONNX} gives something else than {PROBABILITIES}: train and bundle again.")
    return session
