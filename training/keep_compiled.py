"""A trained model -> model.onnx beside its estimator in MLflow, or a notice in its run that says why there is none."""

import logging
from typing import TYPE_CHECKING

import pandas as pd

from asof.errors import NotCompiled
from asof.serving.runtime import MODEL_ONNX, Onnx, Runtime, ScikitLearn
from training.compile import compile_model
from training.seal import log_file
from training.train import TrainedModel

if TYPE_CHECKING:
    from mlflow import MlflowClient

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
