"""A model's folder in BentoML's store -> the loaded model and its facts, without MLflow.

`bentoml.mlflow.import_model` copies MLflow's folder to `mlflow_model/`. Its file MLmodel names the format, the
estimator's file and, under `metadata: asof:`, the ModelFacts; model.onnx, where present, is the compiled model. The
signed manifest lists all files.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike, NDArray

from asof.errors import ModelError
from asof.features.feature_contract import Compute, input_arrays, row_arrays
from asof.inference.explanation.explainer import EXPLANATION, Explained, Explainer
from asof.inference.runtime import MODEL_ONNX, Onnx, Runtime, ScikitLearn
from asof.model_facts import ModelFacts
from asof.targets import Output, Prediction
from asof.trust.golden_rows import GOLDEN_ROWS, GoldenRows, GoldenRowsCheck
from asof.trust.signed_manifest import VerifiedFolder, verify_folder
from asof.trust.signing_keys import TrustedKeys
from asof.trust.trusted_types import load_trusted
from asof.use_case import UseCase

MLFLOW_FOLDER = "mlflow_model"

logger = logging.getLogger("asof.serving")


@dataclass(frozen=True)
class ServedModel:
    """A fitted model with its facts, its runtime, and the functions of its derived columns.

    `signed_by` is the id of the key that signed it; `golden_rows` how the golden rows came out (None: it was not
    loaded, but made here). `explainer` is None where its answers have no exact explanation.
    """

    runtime: Runtime
    facts: ModelFacts
    derived: Mapping[str, Compute]
    signed_by: str = ""
    explainer: Explainer | None = None
    golden_rows: GoldenRowsCheck | None = None

    @property
    def blocking(self) -> bool:
        """Whether `predict` takes too long for the event loop."""
        return self.runtime.blocking

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Prediction]:
        """The predictions for n rows of feature values by name."""
        return self.runtime.predict(row_arrays(rows, self.facts.contract, self.derived))

    def explain(self, row: Mapping[str, Any], until: float = inf) -> Explained:
        """The explanation of the prediction for one row; raises as `Explainer.explain`, for a model that has one."""
        assert self.explainer is not None  # noqa: S101 - callers check it
        (result,) = self.explainer.explain(row_arrays([row], self.facts.contract, self.derived), until)
        return result

    def predict_columns(self, values: Mapping[str, ArrayLike]) -> Sequence[Prediction]:
        """The same for n rows as arrays: each feature's values by its name, of shape (n,)."""
        return self.runtime.predict(input_arrays(values, self.facts.contract, self.derived))


def scored(model: ServedModel, values: Mapping[str, NDArray[Any]], count: int) -> list[Prediction | Exception]:
    """A prediction or an exception for each of `count` rows. Where a call fails, its halves are scored separately."""
    if not count:
        return []
    try:
        checked = model.facts.output.checked
        return [checked(prediction) for prediction in model.predict_columns(values)]
    except Exception as error:  # a model may raise any
        if count == 1:
            return [error]
    half = count // 2
    first = {name: each[:half] for name, each in values.items()}
    second = {name: each[half:] for name, each in values.items()}
    return scored(model, first, half) + scored(model, second, count - half)


def load_model(folder: Path, use_case: UseCase, keys: TrustedKeys, *, run_id: str) -> ServedModel:
    """The model in a `folder` of BentoML's store, after its signature and every byte have been verified.

    Raises UntrustedModel where they are wrong or it is the model of another run; and what `load_verified` raises.
    """
    return load_verified(verify_folder(folder / MLFLOW_FOLDER, keys).of_run(run_id), use_case)


def load_verified(verified: VerifiedFolder, use_case: UseCase) -> ServedModel:
    """The model in a verified MLflow folder, after it has predicted the golden rows.

    Raises UntrustedModel where it contains a type that is not trusted; ModelError where it is not a model of AsOf,
    takes columns that the use case does not provide, or predicts otherwise than when it was evaluated.
    """
    mlmodel = _mlmodel(verified)
    flavor = mlmodel.get("flavors", {}).get("sklearn", {})
    metadata = (mlmodel.get("metadata") or {}).get("asof")
    if metadata is None or flavor.get("serialization_format") != "skops":
        raise ModelError(f"{verified.folder} holds no model of AsOf: train and bundle again.")
    facts = ModelFacts.from_dict(metadata)
    use_case.check_model(facts)
    runtime = _runtime(verified, flavor["pickled_model"], facts.output)
    derived, explainer = use_case.derivations(facts.derived), _explainer(verified, runtime)
    model = ServedModel(runtime, facts, derived, verified.signed_by, explainer)
    return replace(model, golden_rows=GoldenRows.from_json(verified.read(GOLDEN_ROWS)).check(model, facts.output))


def _runtime(verified: VerifiedFolder, skops_file: str, output: Output) -> Runtime:
    if MODEL_ONNX in verified.manifest.files:
        return Onnx(verified.read(MODEL_ONNX), output)
    logger.warning(
        "The model of run %s is not compiled: scikit-learn serves it, which is slow.", verified.manifest.run_id
    )
    return ScikitLearn(load_trusted(verified.read(skops_file)), output)


def _explainer(verified: VerifiedFolder, runtime: Runtime) -> Explainer | None:
    """That of a compiled model."""
    if EXPLANATION not in verified.manifest.files or not isinstance(runtime, Onnx):
        return None
    return Explainer.from_bytes(verified.read(EXPLANATION))


def _mlmodel(verified: VerifiedFolder) -> dict[str, Any]:
    import yaml

    mlmodel: dict[str, Any] = yaml.safe_load(verified.read("MLmodel"))
    return mlmodel
