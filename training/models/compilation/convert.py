"""A fitted scikit-learn estimator -> an ONNX graph in double precision, by skl2onnx with converters of our own.

skl2onnx's own converters are in single precision: predictions differ by 1e-7, and a row near a split falls into
another leaf."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from asof.errors import NotCompiled
from training.models.compilation import classifiers, columns, regressors
from training.models.compilation.boosters import table as boosters
from training.models.compilation.graph import OPSETS, TREES, TREES_IN_DOUBLE, Graph

if TYPE_CHECKING:
    from onnx import ModelProto
    from sklearn.base import BaseEstimator


def convert(model: "BaseEstimator", features: pd.DataFrame, output: str) -> "ModelProto":
    """The ONNX graph of a model with these feature columns, whose only output has that name.

    It has an input of shape (rows, 1) for each column, with its name and in their order: text as string, numbers as
    double. Raises NotCompiled where skl2onnx cannot convert a part of the model.
    """
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
    from sklearn.base import is_classifier

    active, converters = _without_passthrough(model), _converters()
    types = {True: StringTensorType, False: DoubleTensorType}
    inputs = [(str(name), types[features[name].dtype == object]([None, 1])) for name in features]
    try:
        converted = convert_sklearn(
            active,
            name="model",
            initial_types=inputs,
            target_opset=OPSETS,
            options={id(active): {"zipmap": False}} if is_classifier(active) else None,
            custom_conversion_functions=converters,
            custom_shape_calculators=dict.fromkeys(converters, _shape),
        )
    except NotCompiled:
        raise
    except Exception as error:  # skl2onnx raises many types, of its own and of Python's
        reason = str(error).strip().partition("\n")[0]
        raise NotCompiled(f"skl2onnx does not convert it ({type(error).__name__}: {reason})") from error
    return _with_opsets(_named(_only(converted, output), [name for name, _ in inputs]))


def _without_passthrough(model: "BaseEstimator") -> "BaseEstimator":
    """The pipeline without its "passthrough" steps, which skl2onnx does not support."""
    from sklearn.pipeline import Pipeline

    if not isinstance(model, Pipeline):
        return model
    return Pipeline([(name, step) for name, step in model.steps if step not in (None, "passthrough")])


def _converters() -> dict[type, Callable[..., None]]:
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        ExtraTreesRegressor,
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge, RidgeCV
    from sklearn.preprocessing import OneHotEncoder, PowerTransformer, StandardScaler
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    parts: dict[type, Callable[[Graph], None]] = {
        OneHotEncoder: columns.one_hot,
        SimpleImputer: columns.impute,
        PowerTransformer: columns.power,
        StandardScaler: columns.scale,
        LogisticRegression: classifiers.regression,
        DecisionTreeClassifier: classifiers.tree,
        RandomForestClassifier: classifiers.forest,
        ExtraTreesClassifier: classifiers.forest,
        HistGradientBoostingClassifier: classifiers.boosting,
        **dict.fromkeys((ElasticNet, Lasso, LinearRegression, Ridge, RidgeCV), regressors.linear),
        DecisionTreeRegressor: regressors.tree,
        RandomForestRegressor: regressors.forest,
        ExtraTreesRegressor: regressors.forest,
        HistGradientBoostingRegressor: regressors.boosting,
        **boosters.converters(),
    }
    return {type_: lambda *converted, add=add: add(Graph(*converted)) for type_, add in parts.items()}


def _shape(operator: Any) -> None:
    """Sets the type and shape of a part's outputs, where skl2onnx would use single precision."""
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType
    from sklearn.base import is_classifier, is_regressor

    part, rows = operator.raw_operator, operator.inputs[0].get_first_dimension()
    if is_classifier(part):
        types = [Int64TensorType([rows]), DoubleTensorType([rows, len(part.classes_)])]
    elif is_regressor(part):
        types = [DoubleTensorType([rows, 1])]
    else:
        types = [DoubleTensorType([rows, len(part.get_feature_names_out())])]
    for output, type_ in zip(operator.outputs, types, strict=True):
        output.type = type_


def _only(converted: "ModelProto", name: str) -> "ModelProto":
    """The graph without its other outputs, such as a label, and without the nodes that only those need."""
    graph = converted.graph
    output = next(each for each in graph.output if each.name == name)
    needed, kept = {name}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    initializers = [each for each in graph.initializer if each.name in needed]
    for field, items in ((graph.output, [output]), (graph.node, kept[::-1]), (graph.initializer, initializers)):
        copies = [type(each).FromString(each.SerializeToString()) for each in items]
        del field[:]
        field.extend(copies)
    return converted


def _named(converted: "ModelProto", names: Sequence[str]) -> "ModelProto":
    """The graph with the columns' names for its inputs: skl2onnx replaces spaces."""
    if len(converted.graph.input) != len(names):
        raise NotCompiled("skl2onnx drops inputs")
    new = dict(zip((each.name for each in converted.graph.input), names, strict=True))
    for column, name in zip(converted.graph.input, names, strict=True):
        column.name = name
    for node in converted.graph.node:
        node.input[:] = [new.get(each, each) for each in node.input]
    return converted


def _with_opsets(converted: "ModelProto") -> "ModelProto":
    """The graph with the opset of our trees, if it has any, and its domains sorted: skl2onnx's order is random."""
    from onnx import helper

    versions = {each.domain: each.version for each in converted.opset_import}
    if any(node.op_type == "TreeEnsemble" for node in converted.graph.node):
        versions[TREES] = TREES_IN_DOUBLE
    del converted.opset_import[:]
    converted.opset_import.extend(helper.make_opsetid(*each) for each in sorted(versions.items()))
    return converted
