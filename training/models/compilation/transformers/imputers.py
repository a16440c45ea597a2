"""Imputers -> ONNX nodes."""

from typing import Any

import numpy as np

from asof.errors import NotCompiled
from asof.inference.runtime import MISSING
from training.models.compilation.graph import DOUBLE, Graph, Value


def impute(graph: Graph) -> None:
    """SimpleImputer, with its indicators of missing values. Columns that were all missing when it was fitted go.

    In a graph a missing text is None: where `missing_values` is NaN, scikit-learn leaves None as it is.
    """
    imputer = graph.part
    kept = [index for index, fill in enumerate(imputer.statistics_) if fill is not None and fill == fill]
    values = graph.select(kept)
    fills = np.asarray(imputer.statistics_)[kept]
    imputed = [_filled(graph, value, fill, imputer) for value, fill in _with_fills(values, fills)]
    indicators = graph.convert(imputer.indicator_) if imputer.add_indicator else []
    graph.outputs = [*imputed, *indicators]


def indicate(graph: Graph) -> None:
    """MissingIndicator: 1 where a value is missing, of those columns that it watches."""
    flags = [_missing(graph, each, graph.part.missing_values) for each in graph.select(graph.part.features_.tolist())]
    names = [graph.node("Cast", each, to=DOUBLE) for each in flags]
    if names:
        graph.output(graph.joined(names))


def iterate(graph: Graph) -> None:
    """IterativeImputer: the first fill, then models of each column by the others, in their order of the fit.

    Raises NotCompiled where it draws at random, or drops columns.
    """
    part, missing = graph.part, [_missing(graph, each, graph.part.missing_values) for each in graph.columns()]
    values = graph.columns(graph.convert(part.initial_imputer_))
    if part.sample_posterior or len(values) != len(missing):
        raise NotCompiled("IterativeImputer that draws at random, or drops columns")
    for column, others, model in part.imputation_sequence_:
        predicted = graph.one(model, [values[other] for other in others])
        ends = (np.array(float(each[column])) for each in (part._min_value, part._max_value))
        clipped = graph.node("Clip", predicted, *ends)
        values[column] = Value(graph.node("Where", missing[column], clipped, values[column].name))
    graph.outputs = [*values, *(graph.convert(part.indicator_) if part.add_indicator else [])]


def _with_fills(values: list[Value], fills: Any) -> list[tuple[Value, Any]]:
    ends = np.cumsum([each.width for each in values])
    return [(each, fills[end - each.width : end]) for each, end in zip(values, ends, strict=True)]


def _filled(graph: Graph, value: Value, fill: Any, imputer: Any) -> Value:
    if value.text and imputer.missing_values != imputer.missing_values:
        return value
    kind = object if value.text else np.float64
    filling = np.asarray(fill).astype(kind).reshape(1, -1)
    name = graph.node("Where", _missing(graph, value, imputer.missing_values), filling, value.name)
    return Value(name, value.width, value.text)


def _missing(graph: Graph, value: Value, missing: Any) -> str:
    """Whether each is missing, shape (rows, width)."""
    if value.text:
        return graph.node("Equal", value.name, np.array([[MISSING if missing is None else missing]], dtype=object))
    if missing is None or isinstance(missing, str):
        raise NotCompiled(f"{type(graph.part).__name__} of numbers with missing_values={missing!r}")
    if missing != missing:
        return graph.node("IsNaN", value.name)
    return graph.node("Equal", value.name, np.array(float(missing)))
