"""A fitted model -> a signed, registered version, as training leaves it, without metrics, pictures and a card."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from asof.errors import NotExplained
from asof.features.feature_contract import FeatureContract, model_input
from asof.inference.explanation.explainer import EXPLANATION
from asof.inference.runtime import MODEL_ONNX
from asof.model_facts import ModelFacts
from asof.settings import Settings
from asof.targets import BinaryOutput
from asof.trust.golden_rows import GoldenRows
from asof.trust.trusted_types import TRUSTED_TYPES
from asof.use_case import UseCase
from training.models.compilation.compile import compile_model
from training.models.compilation.explanation.explain import explainer_of
from training.models.evaluation.seal import seal
from training.release.registry.versions import ModelVersion
from training.tracking.artifacts import log_file
from training.tracking.client import tracked_run

THRESHOLD = 0.5


def publish(
    settings: Settings,
    use_case: UseCase,
    estimator: Any,
    contract: FeatureContract,
    values: pd.DataFrame,
    *,
    compiled: bool = True,
) -> ModelVersion:
    """Fits the estimator of two classes on the values, whose first number is low or high."""
    import mlflow

    derived = use_case.derived or {}
    frame = model_input(values, contract, derived)
    first = frame[contract.numeric[0]]
    estimator.fit(frame, first > first.median())
    made = datetime(2026, 2, 28, tzinfo=UTC)
    facts = ModelFacts(
        use_case.name, "made up", contract, THRESHOLD, made, made, "f" * 64, 7, "c" * 40, False, derived=tuple(derived)
    )
    with tracked_run(settings, "published", "made up") as (client, run_id):
        logged = mlflow.sklearn.log_model(
            estimator,
            name="model",
            pip_requirements=["scikit-learn"],
            metadata={"asof": facts.to_dict()},
            serialization_format="skops",
            skops_trusted_types=list(TRUSTED_TYPES),
        )
    if compiled:
        graph = compile_model(estimator, frame, BinaryOutput(THRESHOLD))
        log_file(client, logged.model_uri, MODEL_ONNX, graph.content)
        with suppress(NotExplained):
            log_file(client, logged.model_uri, EXPLANATION, explainer_of(estimator, frame, graph.runtime).to_bytes())
    golden = values[contract.names].head(20)
    predictions = estimator.predict_proba(frame.head(20))[:, 1].tolist()
    seal(settings, logged.model_uri, run_id, GoldenRows(golden.to_dict("records"), predictions))
    number = mlflow.register_model(logged.model_uri, use_case.model_name).version
    return ModelVersion(use_case.model_name, str(number), run_id, facts, metrics={})
