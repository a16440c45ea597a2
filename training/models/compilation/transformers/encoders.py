"""Encoders of categories -> ONNX nodes. A column is compared with its categories; the rest is a product of matrices."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import NotCompiled
from asof.inference.runtime import MISSING
from training.models.compilation.graph import DOUBLE, Graph, Value


def one_hot(graph: Graph) -> None:
    """OneHotEncoder: a column for each category or group; an unknown one gives zeros, or is in the group of rare ones.

    Raises NotCompiled where it refuses new numbers.
    """
    encoder = graph.part
    parts = []
    for index, flags in enumerate(_flags(graph)):
        groups, rare = _groups(encoder, index)
        part = flags if _is_identity(groups) else graph.node("MatMul", flags, groups)
        if rare is not None and encoder.handle_unknown in ("infrequent_if_exist", "warn"):
            part = graph.node("Add", part, graph.node("Mul", _unknown(graph, flags), rare))
        parts.append(part)
    graph.output(graph.joined(parts))


def ordinal(graph: Graph) -> None:
    """OrdinalEncoder: the code of a category. Raises NotCompiled where it refuses new numbers."""
    encoder = graph.part
    parts = []
    for index, flags in enumerate(_flags(graph)):
        codes = _codes(encoder, index).reshape(-1, 1)
        missing = np.isnan(codes)  # NaN times 0 is NaN, so it is put in after the sum
        part = graph.node("MatMul", flags, np.where(missing, 0.0, codes))
        if missing.any():
            part = _where(graph, graph.node("MatMul", flags, missing.astype(np.float64)), np.array(np.nan), part)
        if encoder.handle_unknown == "use_encoded_value":
            part = _where(graph, _unknown(graph, flags), np.array(float(encoder.unknown_value)), part)
        parts.append(part)
    graph.output(graph.joined(parts))


def target(graph: Graph) -> None:
    """TargetEncoder: the mean outcome of a category, or of all rows for an unknown one; of several classes each."""
    encoder = graph.part
    mean = np.asarray(encoder.target_mean_, dtype=np.float64).reshape(1, -1)
    parts = []
    for index, flags in enumerate(_flags(graph)):
        columns = encoder.encodings_[index * mean.size : (index + 1) * mean.size]
        known = graph.node("MatMul", flags, np.column_stack(columns))
        parts.append(_where(graph, _unknown(graph, flags), mean, known))
    graph.output(graph.joined(parts))


def _flags(graph: Graph) -> Iterator[str]:
    """Of each column, whether it is each of its categories: 1 or 0, shape (rows, categories)."""
    strict = getattr(graph.part, "handle_unknown", "ignore") == "error"
    for column, categories in zip(graph.columns(), graph.part.categories_, strict=True):
        if strict and not column.text:
            raise NotCompiled(f"{type(graph.part).__name__} refuses new numbers: see handle_unknown")
        yield graph.node("Cast", _is_category(graph, column, categories), to=DOUBLE)


def _is_category(graph: Graph, column: Value, categories: NDArray[Any]) -> str:
    if column.text:
        texts = [each if isinstance(each, str) else MISSING for each in categories]
        return graph.node("Equal", column.name, np.array([texts], dtype=object))
    numbers = np.asarray(categories, dtype=np.float64).reshape(1, -1)
    equal = graph.node("Equal", column.name, numbers)
    if not np.isnan(numbers).any():
        return equal
    return graph.node("Or", equal, graph.node("And", graph.node("IsNaN", column.name), np.isnan(numbers)))


def _unknown(graph: Graph, flags: str) -> str:
    """1 where no category is known, else 0, shape (rows, 1)."""
    return graph.node("Sub", np.array(1.0), graph.node("ReduceSum", flags, np.array([1]), keepdims=1))


def _where(graph: Graph, flag: str, value: NDArray[Any], other: str) -> str:
    """The value where the flag is 1."""
    return graph.node("Where", graph.node("Equal", flag, np.array(1.0)), value, other)


def _groups(encoder: Any, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Which output has each category, shape (categories, outputs), and which has rare ones, shape (1, outputs)."""
    count, mapping = len(encoder.categories_[index]), _mapping(encoder, index)
    outputs = np.eye(mapping.max() + 1)
    if (dropped := encoder._drop_idx_after_grouping) is not None and dropped[index] is not None:
        outputs = np.delete(outputs, dropped[index], axis=1)
    rare = outputs[-1:] if mapping.max() + 1 < count or _has_rare(encoder, index) else None
    return outputs[mapping], rare


def _mapping(encoder: Any, index: int) -> NDArray[np.int64]:
    """The code of each category; the greatest one is that of the rare ones, where these are grouped."""
    if _has_rare(encoder, index):
        return np.asarray(encoder._default_to_infrequent_mappings[index], dtype=np.int64)
    return np.arange(len(encoder.categories_[index]))


def _has_rare(encoder: Any, index: int) -> bool:
    return bool(encoder._infrequent_enabled) and encoder._default_to_infrequent_mappings[index] is not None


def _codes(encoder: Any, index: int) -> NDArray[np.float64]:
    """The code of each category, with that of a missing one."""
    codes = _mapping(encoder, index).astype(np.float64)
    if index in encoder._missing_indices:
        codes[encoder._missing_indices[index]] = encoder.encoded_missing_value
    return codes


def _is_identity(matrix: NDArray[np.float64]) -> bool:
    return matrix.shape[0] == matrix.shape[1] and bool((matrix == np.eye(len(matrix))).all())
