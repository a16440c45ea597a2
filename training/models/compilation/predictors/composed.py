"""Classifiers and regressors that are made of others -> ONNX nodes."""

from typing import Any

import numpy as np

from asof.errors import NotCompiled
from training.models.compilation.graph import Graph, Value
from training.models.compilation.predictors.links import binary, one_against_rest
from training.models.compilation.transformers.scalers import applied, unscaled


def vote(graph: Graph) -> None:
    """VotingClassifier and VotingRegressor: the weighted mean. A hard vote has no probabilities, and is not served."""
    weights = np.asarray(graph.part._weights_not_none or [1.0] * len(graph.part.estimators_), dtype=np.float64)
    graph.output(_mean(graph, [graph.one(each) for each in graph.part.estimators_], weights), _width(graph))


def bag(graph: Graph) -> None:
    """BaggingClassifier and BaggingRegressor: the mean of models on columns of their own.

    Raises NotCompiled for classifiers without probabilities, which have no converter.
    """
    part = graph.part
    models = zip(part.estimators_, part.estimators_features_, strict=True)
    values = [_of_all_classes(graph, each, graph.one(each, graph.select(columns.tolist()))) for each, columns in models]
    graph.output(_mean(graph, values, np.ones(len(values))), _width(graph))


def stack(graph: Graph) -> None:
    """StackingClassifier and StackingRegressor: a model of the predictions of others, and of their inputs if asked."""
    part = graph.part
    given = [_stacked(graph, each, method) for each, method in zip(part.estimators_, part.stack_method_, strict=True)]
    if part.passthrough:
        given += graph.inputs
    graph.output(graph.one(part.final_estimator_, given), _width(graph))


def against_rest(graph: Graph) -> None:
    """OneVsRestClassifier."""
    positives = [graph.node("Gather", graph.one(each), np.array([1]), axis=1) for each in graph.part.estimators_]
    one_against_rest(graph, graph.joined(positives))


def transformed(graph: Graph) -> None:
    """TransformedTargetRegressor: the inverse of a scaler or of NumPy's function.

    Raises NotCompiled for other transformers.
    """
    from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

    value, transformer = graph.one(graph.part.regressor_), graph.part.transformer_
    if isinstance(transformer, FunctionTransformer):
        graph.output(applied(graph, value, transformer.inverse_func), 1)
    elif isinstance(transformer, MaxAbsScaler | MinMaxScaler | RobustScaler | StandardScaler):
        graph.output(unscaled(graph, value, transformer), 1)
    else:
        raise NotCompiled(f"TransformedTargetRegressor with {type(transformer).__name__}")


def inner(graph: Graph) -> None:
    """FrozenEstimator, and classifiers that only choose a threshold: what the model within gives."""
    graph.outputs = graph.convert(_inner(graph.part))


def inner_scores(graph: Graph) -> str:
    """Its decision function."""
    return graph.scores(_inner(graph.part))


def constant(graph: Graph) -> None:
    """DummyClassifier and DummyRegressor, whose answer is the same for every row."""
    part = graph.part
    if getattr(part, "strategy", None) in ("stratified", "uniform"):
        raise NotCompiled(f"{type(part).__name__} with strategy={part.strategy!r}, which is random")
    row = np.zeros((1, graph.part.n_features_in_))
    answer = part.predict_proba(row) if hasattr(part, "classes_") else part.predict(row)
    first = graph.columns()[0]
    count = graph.node("Shape", first.name, start=0, end=1)
    shape = graph.node("Concat", count, np.array([answer.size]), axis=0)
    graph.output(graph.node("Expand", np.asarray(answer, dtype=np.float64).reshape(1, -1), shape), answer.size)


def _inner(part: Any) -> Any:
    return getattr(part, "estimator_", None) or part.estimator


def _width(graph: Graph) -> int:
    return len(graph.part.classes_) if hasattr(graph.part, "classes_") else 1


def _mean(graph: Graph, values: list[str], weights: Any) -> str:
    """The weighted mean, in scikit-learn's order."""
    weighted = [
        value if weight == 1 else graph.node("Mul", value, np.array(float(weight)))
        for value, weight in zip(values, weights, strict=True)
    ]
    total = weighted[0]
    for each in weighted[1:]:
        total = graph.node("Add", total, each)
    return graph.node("Div", total, np.array(float(weights.sum())))


def _of_all_classes(graph: Graph, model: Any, values: str) -> str:
    """Probabilities with zeros for the classes that the model has never seen."""
    if not hasattr(graph.part, "classes_"):
        return values
    known = np.asarray(model.classes_, dtype=np.int64)
    every = np.eye(len(graph.part.classes_))
    return values if known.size == len(every) else graph.node("MatMul", values, every[known])


def _stacked(graph: Graph, model: Any, method: str) -> Value:
    if method == "decision_function":
        return Value(graph.scores(model), 1 if binary(graph) else len(graph.part.classes_))
    if not hasattr(graph.part, "classes_"):
        return Value(graph.one(model))
    if method == "predict":
        raise NotCompiled(f"{type(graph.part).__name__} of the answers of {type(model).__name__}")
    values = graph.one(model)
    if binary(graph):
        return Value(graph.node("Gather", values, np.array([1]), axis=1))
    return Value(values, len(graph.part.classes_))
