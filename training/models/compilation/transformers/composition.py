"""Pipeline, ColumnTransformer and FeatureUnion: their parts are converted on the columns that they take."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.models.compilation.graph import Graph, Value

NOTHING = (None, "passthrough")


def pipeline(graph: Graph) -> None:
    graph.outputs = graph.inputs
    for _, step in graph.part.steps:
        if step not in NOTHING:
            graph.outputs = graph.convert(step, graph.outputs)


def pipeline_scores(graph: Graph) -> str:
    """The decision function of the last step."""
    return graph.scores(graph.part.steps[-1][1], before_last(graph))


def before_last(graph: Graph) -> Sequence[Value]:
    """What the last step takes."""
    values = graph.inputs
    for _, step in graph.part.steps[:-1]:
        if step not in NOTHING:
            values = graph.convert(step, values)
    return values


def columns(graph: Graph) -> None:
    """ColumnTransformer; text and numbers stay apart, until a part takes them together."""
    parts, indices = graph.part, graph.part._transformer_to_input_indices
    values: list[Value] = []
    for name, part, _ in parts.transformers_:
        if part != "drop" and len(indices[name]):
            converted = _converted(graph, part, graph.select(np.asarray(indices[name]).tolist()))
            values += _weighted(graph, converted, parts.transformer_weights, name)
    graph.outputs = values


def union(graph: Graph) -> None:
    """FeatureUnion."""
    graph.outputs = [
        value
        for name, part in graph.part.transformer_list
        if part != "drop"
        for value in _weighted(graph, _converted(graph, part, graph.inputs), graph.part.transformer_weights, name)
    ]


def _converted(graph: Graph, part: Any, inputs: Sequence[Value]) -> Sequence[Value]:
    return inputs if isinstance(part, str) else graph.convert(part, inputs)


def _weighted(graph: Graph, values: Sequence[Value], weights: Any, name: str) -> Sequence[Value]:
    if not weights or name not in weights:
        return values
    weight = np.array(float(weights[name]))
    return [Value(graph.node("Mul", each.name, weight), each.width) for each in values]
