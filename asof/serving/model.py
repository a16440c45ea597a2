"""A model's folder, as BentoML keeps it -> the loaded model and its facts, without MLflow.

`bentoml.mlflow.import_model` puts MLflow's own folder under `mlflow_model/`: the file MLmodel tells the format, the
estimator's file and, under `metadata: asof:`, the ModelFacts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from asof.errors import ModelError
from asof.feature_contract import model_frame
from asof.model_facts import ModelFacts
from asof.trusted_types import load_trusted

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

MLFLOW_FOLDER = "mlflow_model"


@dataclass(frozen=True)
class ServedModel:
    """A fitted scikit-learn classifier with its facts."""

    estimator: "ClassifierMixin"
    facts: ModelFacts

    def probabilities(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        """The probabilities (0 to 1) of the positive class for n entities' feature values by name."""
        frame = model_frame(pd.DataFrame(list(rows)), self.facts.contract)
        positive = list(self.estimator.classes_).index(1)
        probabilities: list[float] = self.estimator.predict_proba(frame)[:, positive].tolist()
        return probabilities


def load_model(folder: Path) -> ServedModel:
    """Loads what `folder` holds; raises ModelError where it is no model of ours or holds a type that is not trusted."""
    description = _description(folder / MLFLOW_FOLDER / "MLmodel")
    flavour = description.get("flavors", {}).get("sklearn", {})
    facts = (description.get("metadata") or {}).get("asof")
    if facts is None or flavour.get("serialization_format") != "skops":
        raise ModelError(f"{folder} holds no model of AsOf: train and bundle again.")
    return ServedModel(load_trusted(folder / MLFLOW_FOLDER / flavour["pickled_model"]), ModelFacts.from_dict(facts))


def _description(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise ModelError(f"{path} does not exist: bundle the model again.")
    description: dict[str, Any] = yaml.safe_load(path.read_text())
    return description
