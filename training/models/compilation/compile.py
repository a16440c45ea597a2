"""A fitted scikit-learn classifier -> CompiledModel: the same as an ONNX graph, found to say the same of every row."""

import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pandas as pd

from asof.errors import ModelError, NotCompiled
from asof.inference.runtime import LIMITS, MODEL_ONNX, Onnx, Runtime, ScikitLearn
from training.models.compilation.agreement import Agreement, agreement
from training.models.compilation.convert import convert
from training.models.compilation.odd_values import compare_odd, limits_of
from training.models.fitting.train import TrainedModel
from training.one_thread import one_thread
from training.tracking.artifacts import log_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sklearn.base import ClassifierMixin


@dataclass(frozen=True)
class CompiledModel:
    """The file model.onnx, what runs it, and how it agreed with its estimator."""

    content: bytes
    runtime: Onnx
    agreement: Agreement


def compile_model(model: "ClassifierMixin", features: pd.DataFrame, *, threshold: float) -> CompiledModel:
    """`features` are all rows on which both must agree, as the model takes them. Same model, same bytes.

    Raises NotCompiled where it does not convert, or where graph and estimator do not say the same: probabilities within
    `asof.trust.golden_rows.TOLERANCE`, labels at the threshold, and what they refuse.
    """
    if list(model.classes_) != [0, 1]:
        raise NotCompiled(f"its classes are {list(model.classes_)}, not 0 and 1")
    graph, good = convert(model, features), features.iloc[:1]
    with one_thread():
        limits = limits_of(model, good)
        graph.metadata_props.add(key=LIMITS, value=json.dumps(asdict(limits), sort_keys=True))
        content = graph.SerializeToString(deterministic=True)
        runtime = _loaded(content)
        compare_odd(model, runtime, good)
    agreed = agreement(runtime, model, features, threshold=threshold)
    if not agreed.holds:
        raise NotCompiled(f"the graph does not say the same: {agreed}")
    return CompiledModel(content, runtime, agreed)


def _loaded(content: bytes) -> Onnx:
    try:
        return Onnx(content)
    except ModelError as error:  # skl2onnx has converted it to what ONNX Runtime does not have in double
        raise NotCompiled(f"its graph does not run: {error}") from error


logger = logging.getLogger("asof.training")


def keep_compiled(client: "MlflowClient", trained: TrainedModel) -> Runtime | None:
    """Compiles the model and compares it on all rows of both sides; gives what will serve it, None for scikit-learn.

    The run's tag `runtime` tells which it is; `compiled` how well both agree, or `not_compiled` why they do not.
    """
    rows = pd.concat([trained.train_side.features, trained.held_out.features], ignore_index=True)
    try:
        compiled = compile_model(trained.model, rows, threshold=trained.facts.threshold)
    except NotCompiled as error:
        logger.warning("Scikit-learn will serve the model of run %s, which is slow: %s.", trained.run_id, error)
        client.set_tag(trained.run_id, "runtime", ScikitLearn.name)
        client.set_tag(trained.run_id, "not_compiled", str(error))
        return None
    log_file(client, trained.model_uri, MODEL_ONNX, compiled.content)
    client.set_tag(trained.run_id, "runtime", Onnx.name)
    client.set_tag(trained.run_id, "compiled", str(compiled.agreement))
    return compiled.runtime
