"""Sealing an evaluated model in MLflow: what is compiled and golden rows beside it, and a signed manifest of all its
files."""

import logging
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from asof.errors import NotCompiled, NotExplained
from asof.inference.explanation.explainer import EXPLANATION, Explainer
from asof.inference.runtime import MODEL_ONNX, Onnx, Runtime, ScikitLearn
from asof.settings import Settings
from asof.trust.golden_rows import GOLDEN_ROWS, GoldenRows
from asof.trust.signed_manifest import MANIFEST, sign_folder
from asof.trust.signing_keys import signing_key
from training.features.datasets.training_set import TrainingSet, table_of
from training.metrics.classification import Floats
from training.models.compilation.compile import compile_model
from training.models.compilation.explanation.explain import explainer_of
from training.models.fitting.train import TrainedModel
from training.targets import rules_of
from training.tracking.artifacts import downloaded, log_file
from training.tracking.client import open_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_GOLDEN_ROWS = 32

logger = logging.getLogger("asof.training")


def seal(settings: Settings, model_uri: str, run_id: str, golden: GoldenRows) -> None:
    """Logs the golden rows to the model `models:/ID`, then signs all its files, as downloaded from MLflow.

    A second call replaces both.
    """
    client, key = open_tracking(settings), signing_key(settings)
    log_file(client, model_uri, GOLDEN_ROWS, golden.to_json())
    with downloaded(settings, model_uri) as kept:
        log_file(client, model_uri, MANIFEST, sign_folder(kept, run_id, key))


def golden_rows(side: TrainingSet, predictions: Floats) -> GoldenRows:
    """Rows at equal steps in the order of their prediction, including the lowest and the highest."""
    order = np.argsort(rules_of(side.target).order(predictions), kind="stable")
    picked = order[np.unique(np.linspace(0, order.size - 1, MAX_GOLDEN_ROWS).round().astype(int))]
    rows = table_of(side.frame, side.contract, side.label).select(side.contract.names).take(picked)
    return GoldenRows(rows.to_pylist(), predictions[picked].tolist())


def log_compiled(client: "MlflowClient", trained: TrainedModel) -> Runtime | None:
    """Compiles the model on all rows of both sides and logs model.onnx; returns its runtime, None where none compiled.

    The run's tag `runtime` names what will serve the model, `compiled` has the agreement, `not_compiled` the reason.
    """
    rows = pd.concat([trained.train_side.features, trained.held_out.features], ignore_index=True)
    try:
        compiled = compile_model(trained.model, rows, trained.facts.output)
    except NotCompiled as error:
        logger.warning("Scikit-learn will serve the model of run %s, which is slow: %s.", trained.run_id, error)
        client.set_tag(trained.run_id, "runtime", ScikitLearn.name)
        client.set_tag(trained.run_id, "not_compiled", str(error))
        return None
    log_file(client, trained.model_uri, MODEL_ONNX, compiled.content)
    client.set_tag(trained.run_id, "runtime", Onnx.name)
    client.set_tag(trained.run_id, "compiled", str(compiled.agreement))
    return compiled.runtime


def log_explainer(client: "MlflowClient", trained: TrainedModel, runtime: Runtime | None) -> Explainer | None:
    """Logs what explains the answers of a compiled model, and returns it; None where there is no explanation.

    The run's tag `explained` says what the contributions add up to, `not_explained` why there are none.
    """
    try:
        if runtime is None:
            raise NotExplained("it is not compiled")  # noqa: TRY301
        explainer = explainer_of(trained.model, trained.train_side.features, runtime)
    except NotExplained as error:
        client.set_tag(trained.run_id, "not_explained", str(error))
        return None
    log_file(client, trained.model_uri, EXPLANATION, explainer.to_bytes())
    client.set_tag(trained.run_id, "explained", explainer.space)
    return explainer
