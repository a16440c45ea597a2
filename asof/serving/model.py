"""A model's folder, as BentoML keeps it -> the loaded model and its facts, without MLflow.

`bentoml.mlflow.import_model` puts MLflow's own folder under `mlflow_model/`: the file MLmodel tells the format, the
estimator's file and, under `metadata: asof:`, the ModelFacts; the manifest lists them all and is signed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from asof.errors import ModelError
from asof.feature_contract import Compute, model_input
from asof.golden_rows import GOLDEN_ROWS, GoldenRows, Proof
from asof.model_facts import ModelFacts
from asof.signed_manifest import VerifiedFolder, verify_folder
from asof.signing_keys import TrustedKeys
from asof.trusted_types import load_trusted
from asof.use_case import UseCase

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

MLFLOW_FOLDER = "mlflow_model"


@dataclass(frozen=True)
class ServedModel:
    """A fitted scikit-learn classifier with its facts, and how to compute the derived columns that it takes.

    `signed_by` is the id of the key that signed it; `proof` how the golden rows came out (None: it was not loaded, but
    made here).
    """

    estimator: "ClassifierMixin"
    facts: ModelFacts
    derived: Mapping[str, Compute]
    signed_by: str = ""
    proof: Proof | None = None
    blocking = True

    def probabilities(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        """The probabilities (0 to 1) of the positive class for n rows of feature values by name."""
        frame = model_input(pd.DataFrame(list(rows)), self.facts.contract, self.derived)
        positive = list(self.estimator.classes_).index(1)
        probabilities: list[float] = self.estimator.predict_proba(frame)[:, positive].tolist()
        return probabilities


def load_model(folder: Path, use_case: UseCase, keys: TrustedKeys) -> ServedModel:
    """Loads what BentoML's `folder` of a model holds, once its signature and every byte are found right.

    Raises UntrustedModel where they are not, and what `load_verified` raises.
    """
    return load_verified(verify_folder(folder / MLFLOW_FOLDER, keys), use_case)


def load_verified(verified: VerifiedFolder, use_case: UseCase) -> ServedModel:
    """Loads MLflow's folder of a model and asks it the golden rows.

    Raises UntrustedModel where it holds a type that is not trusted; ModelError where it is no model of ours, takes what
    the use case does not give, or answers otherwise than when it was evaluated.
    """
    description = _description(verified)
    flavour = description.get("flavors", {}).get("sklearn", {})
    told = (description.get("metadata") or {}).get("asof")
    if told is None or flavour.get("serialization_format") != "skops":
        raise ModelError(f"{verified.folder} holds no model of AsOf: train and bundle again.")
    facts = ModelFacts.from_dict(told)
    use_case.check_model(facts)
    estimator = load_trusted(verified.read(flavour["pickled_model"]))
    model = ServedModel(estimator, facts, use_case.derivations(facts.derived), verified.signed_by)
    return replace(model, proof=GoldenRows.from_json(verified.read(GOLDEN_ROWS)).prove(model))


def _description(verified: VerifiedFolder) -> dict[str, Any]:
    import yaml

    description: dict[str, Any] = yaml.safe_load(verified.read("MLmodel"))
    return description
