"""Explainer: what each column of a compiled model's input contributes to its score.

A file beside the model has it: a graph that computes the numbers that the model sums, and the sum. The columns that an
encoder makes of one column are added up.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from asof.errors import ModelError
from asof.inference.explanation.linear_sum import LinearSum
from asof.inference.explanation.tree_sum import TreeSum
from asof.inference.runtime import GraphInputs, open_graph
from asof.targets import Prediction

Floats = NDArray[np.float64]
EXPLANATION = "asof_explanation.npz"
"""The file in a model's MLflow folder."""
NUMBERS = "asof_numbers"
"""The output of the graph, shape (rows, columns)."""
BLOCKING_NODES = 5_000
"""Of a sum of trees: a larger one takes over a millisecond for a row, too long for the event loop."""


class Space(StrEnum):
    """What a score is: the prediction itself, its logarithm, or that of its odds."""

    NUMBER = "number"
    PROBABILITY = "probability"
    LOG_ODDS = "log odds"
    LOGARITHM = "logarithm"

    def prediction(self, score: float) -> float:
        """The model's prediction of a score."""
        with np.errstate(over="ignore"):
            if self is Space.LOG_ODDS:
                return float(1.0 / (1.0 + np.exp(-score)))
            return float(np.exp(score)) if self is Space.LOGARITHM else score


@dataclass(frozen=True)
class Explained:
    """One row: `base` plus the contributions, by column of the model's input, is the score."""

    space: Space
    base: float
    contributions: Mapping[str, float]
    tolerance: float

    @property
    def score(self) -> float:
        return self.base + sum(self.contributions.values())

    def agrees_with(self, prediction: Prediction) -> bool:
        """Whether the score is that of the prediction; false for NaN, and for several classes."""
        if isinstance(prediction, list):
            return False
        own = self.space.prediction(self.score)
        return abs(own - prediction) <= self.tolerance * max(1.0, abs(prediction))


@dataclass(frozen=True)
class Explainer:
    """`sources` has for each column of the graph's output the column of the model's input that it is made of.

    A column of none is constant; its source is -1. `tolerance`: how far a prediction may be from that of its score,
    relative to it where it is above 1; models that sum in single precision have a greater one.
    """

    graph: bytes
    sum: LinearSum | TreeSum
    columns: Sequence[str]
    sources: Sequence[int]
    space: Space
    tolerance: float

    @property
    def blocking(self) -> bool:
        """Whether it takes too long for the event loop."""
        return self.sum.nodes > BLOCKING_NODES

    def explain(self, arrays: Mapping[str, NDArray[Any]], until: float = np.inf) -> list[Explained]:
        """The explanation of each row from `asof.features.feature_contract.input_arrays`.

        Raises ExplanationTooSlow at the moment `until` of the monotonic clock.
        """
        session, inputs = self._session
        (numbers,) = session.run([NUMBERS], inputs.feed(arrays))
        by_column = self.sum.contributions(numbers, until) @ self._grouping
        base = self.sum.base
        return [
            Explained(self.space, base, dict(zip(self.columns, row, strict=True)), self.tolerance)
            for row in by_column.tolist()
        ]

    @cached_property
    def _session(self) -> Any:
        session = open_graph(self.graph, NUMBERS)
        return session, GraphInputs(session)

    @cached_property
    def _grouping(self) -> Floats:
        """Which source each column has, shape (columns of the graph, columns of the input)."""
        grouping: Floats = np.equal.outer(self.sources, range(len(self.columns))).astype(np.float64)
        return grouping

    def to_bytes(self) -> bytes:
        """The content of the file; the same for the same explainer."""
        about = {"columns": self.columns, "sources": self.sources, "space": self.space, "tolerance": self.tolerance}
        fields = asdict(self.sum)
        arrays = {name: each for name, each in fields.items() if isinstance(each, np.ndarray)}
        text = json.dumps({**about, "start": self.sum.start}).encode()
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, about=_bytes(text), graph=_bytes(self.graph), **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Explainer":
        """The inverse. Raises ModelError where the content is none."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            graph, about = arrays.pop("graph").tobytes(), json.loads(arrays.pop("about").tobytes())
            start, space = about.pop("start"), Space(about.pop("space"))
            parts = TreeSum.of(arrays, start) if "left" in arrays else LinearSum(**arrays, start=start)
            explainer = cls(graph, parts, space=space, **about)
            explainer._session  # noqa: B018 - opened now, not at the first request
        except (ValueError, KeyError, TypeError, OSError, EOFError, BadZipFile) as error:
            raise ModelError(f"{EXPLANATION} does not load: train and bundle again. ({error})") from error
        return explainer


def _bytes(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, dtype=np.uint8)
