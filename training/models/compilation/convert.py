"""A fitted scikit-learn estimator -> an ONNX graph in double precision.

Each type has a converter. A part that is made of others, such as a pipeline, has theirs convert them. skl2onnx computes
in single precision: predictions differ by 1e-7, and a row near a split falls into another leaf.
"""

from typing import TYPE_CHECKING

import pandas as pd

from asof.errors import NotCompiled
from training.models.compilation.graph import Graph, Nodes, Value
from training.models.compilation.table import converters

if TYPE_CHECKING:
    from onnx import ModelProto
    from sklearn.base import BaseEstimator


def convert(model: "BaseEstimator", features: pd.DataFrame, output: str) -> "ModelProto":
    """The ONNX graph of a model with these feature columns, whose only output has that name.

    It has an input of shape (rows, 1) for each column, with its name and in their order: text as string, numbers as
    double. Raises NotCompiled where a part of the model has no converter.
    """
    inputs = [Value(str(name), text=features[name].dtype == object) for name in features]
    nodes = Nodes(frozenset({output, *map(str, features)}))
    try:
        values = Graph(model, inputs, nodes, converters()).convert(model)
    except (AttributeError, KeyError, ValueError, TypeError, IndexError) as error:  # private parts of a library
        raise NotCompiled(f"a converter fails ({type(error).__name__}: {error})") from error
    return nodes.model(inputs, output, values[0])
