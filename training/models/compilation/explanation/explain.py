"""A compiled model -> Explainer, once its scores are those of the model's predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asof.errors import NotCompiled, NotExplained
from asof.inference.explanation.explainer import NUMBERS, Explainer, Space
from asof.inference.explanation.linear_sum import LinearSum
from asof.inference.runtime import GraphInputs, Runtime, open_graph
from training.models.compilation.explanation.sources import column_sources
from training.models.compilation.explanation.sums import ModelSum, sum_of
from training.models.compilation.graph import Graph, Nodes, Value
from training.models.compilation.table import converters

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

WORK = 10**7
"""Nodes times points of a sum of trees that may be spent on rows: a second or so."""
CLASSIFIED, ESTIMATED = (Space.PROBABILITY, Space.LOG_ODDS), (Space.NUMBER, Space.LOGARITHM)
"""The spaces of classifiers' and of regressors' scores."""
MAX_SIZE = 2 * 10**7
"""Of a sum of trees: a larger one would take seconds for a row, and hundreds of megabytes."""


def explainer_of(model: "BaseEstimator", features: pd.DataFrame, runtime: Runtime) -> Explainer:
    """The explainer of a model that is compiled to `runtime`; `features` are its training rows.

    Raises NotExplained where its score is no sum of columns or trees, a column is made of several features, or the
    scores are not those of the predictions.
    """
    inputs = [Value(str(name), text=features[name].dtype == object) for name in features]
    nodes = Nodes(frozenset({NUMBERS, *map(str, features)}))
    try:
        found = sum_of(Graph(model, inputs, nodes, converters()))
    except (NotCompiled, AttributeError, KeyError, ValueError, TypeError, IndexError) as error:  # as in convert
        raise NotExplained(f"its score cannot be read ({type(error).__name__}: {error})") from error
    sources = _sources(nodes, inputs, found)
    graph = nodes.model(inputs, NUMBERS, Value(found.numbers, len(sources))).SerializeToString(deterministic=True)
    made = Explainer(
        graph,
        _with_means(found.sum, graph, features),
        columns=[each.name for each in inputs],
        sources=sources,
        space=Space.NUMBER,
        tolerance=found.tolerance,
    )
    if made.sum.size > MAX_SIZE:
        raise NotExplained(f"its trees are too large to be explained: {made.sum.size:,} nodes times points")
    spaces = CLASSIFIED if hasattr(model, "classes_") else ESTIMATED
    return _in_space(made, sample_of(made, features), runtime, spaces)


def sample_of(explainer: Explainer, features: pd.DataFrame, at_most: int = 500) -> pd.DataFrame:
    """Rows at equal steps, as many as can be explained in about a second."""
    count = max(4, min(at_most, len(features), WORK // max(1, explainer.sum.size)))
    places = np.unique(np.linspace(0, len(features) - 1, count).round().astype(int))
    return features.iloc[places]


def arrays_of(features: pd.DataFrame) -> Mapping[str, NDArray[Any]]:
    """The columns of a model's input by name."""
    return {str(name): features[name].to_numpy() for name in features}


def _sources(nodes: Nodes, inputs: list[Value], found: ModelSum) -> list[int]:
    """The source of each column, -1 for a constant."""
    every = column_sources(nodes, inputs, found.numbers)
    if every is None:
        raise NotExplained("its columns cannot be traced to features")
    if mixed := next((each for each in every if len(each) > 1), None):
        names = ", ".join(inputs[place].name for place in sorted(mixed))
        raise NotExplained(f"a column is made of several features: {names}")
    return [next(iter(each), -1) for each in every]


def _with_means(made: Any, graph: bytes, features: pd.DataFrame) -> Any:
    """A weighted sum with the means of its columns."""
    if not isinstance(made, LinearSum):
        return made
    session = open_graph(graph, NUMBERS)
    (numbers,) = session.run([NUMBERS], GraphInputs(session).feed(arrays_of(features)))
    return replace(made, means=numbers.mean(axis=0))


def _in_space(made: Explainer, features: pd.DataFrame, runtime: Runtime, spaces: Sequence[Space]) -> Explainer:
    """The explainer in the space whose scores are those of the predictions. Raises NotExplained if there is none."""
    arrays = arrays_of(features)
    predictions, rows = runtime.predict(arrays), made.explain(arrays)
    for space in spaces:
        own = [replace(each, space=space) for each in rows]
        if all(each.agrees_with(value) for each, value in zip(own, predictions, strict=True)):
            return replace(made, space=space)
    raise NotExplained("its scores are not those of its predictions")
