"""A fitted scikit-learn estimator -> CompiledModel: an ONNX graph that agrees with it on every row."""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pandas as pd

from asof.errors import ModelError, NotCompiled
from asof.inference.runtime import LIMITS, InputLimits, Onnx
from asof.targets import Output
from training.models.compilation.agreement import Agreement, agreement
from training.models.compilation.convert import convert
from training.models.compilation.odd_values import compare_odd, limits_of, odd_predictions
from training.one_thread import one_thread

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


@dataclass(frozen=True)
class CompiledModel:
    """The content of model.onnx, its runtime, and its agreement with the estimator."""

    content: bytes
    runtime: Onnx
    agreement: Agreement


def compile_model(model: "BaseEstimator", features: pd.DataFrame, output: Output) -> CompiledModel:
    """Compiles a model; `features` are the rows on which both must agree. The same model gives the same bytes.

    Raises NotCompiled where it does not convert, or where graph and estimator disagree: on predictions by more than
    `asof.targets.TOLERANCE`, on answers, or on the values that they refuse.
    """
    graph, valid_row = convert(model, features, output.graph_output), features.iloc[:1]
    with one_thread():
        predict = odd_predictions(model, valid_row, output)
        limits = limits_of(predict, valid_row)
        graph.metadata_props.add(key=LIMITS, value=_text(limits))
        content = graph.SerializeToString(deterministic=True)
        try:
            runtime = Onnx(content, output)
        except ModelError as error:  # an operator that ONNX Runtime does not have in double
            raise NotCompiled(f"its graph does not run: {error}") from error
        compare_odd(predict, runtime, valid_row, output)
    compared = agreement(runtime, model, features, output)
    if not compared.holds:
        raise NotCompiled(f"the graph disagrees with scikit-learn: {compared}")
    return CompiledModel(content, runtime, compared)


def _text(limits: InputLimits) -> str:
    """As JSON, without what is empty: an older service does not know `least`."""
    return json.dumps({name: value for name, value in asdict(limits).items() if value}, sort_keys=True)
