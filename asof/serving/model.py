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
from asof.feature_contract import Compute, model_input
from asof.model_facts import ModelFacts
from asof.trusted_types import load_trusted
from asof.use_case import UseCase

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

MLFLOW_FOLDER = "mlflow_model"


@dataclass(frozen=True)
class ServedModel:
    """A fitted scikit-learn classifier with its facts, and how to compute the derived columns that it takes."""

    estimator: "ClassifierMixin"
    facts: ModelFacts
    derived: Mapping[str, Compute]

    def probabilities(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        """The probabilities (0 to 1) of the positive class for n rows of feature values by name."""
        frame = model_input(pd.DataFrame(list(rows)), self.facts.contract, self.derived)
        positive = list(self.estimator.classes_).index(1)
        probabilities: list[float] = self.estimator.predict_proba(frame)[:, positive].tolist()
        return probabilities


def load_model(folder: Path, use_case: UseCase) -> ServedModel:
    """Loads what `folder` holds.

    Raises ModelError where it is no model of ours, where it takes what the use case does not give, or where it holds a
    type that is not trusted.
    """
    description = _description(folder / MLFLOW_FOLDER / "MLmodel")
    flavour = description.get("flavors", {}).get("sklearn", {})
    told = (description.get("metadata") or {}).get("asof")
    if told is None or flavour.get("serialization_format") != "skops":
        raise ModelError(f"{folder} holds no model of AsOf: train and bundle again.")
    facts = ModelFacts.from_dict(told)
    use_case.check_model(facts)
    estimator = load_trusted(folder / MLFLOW_FOLDER / flavour["pickled_model"])
    return ServedModel(estimator, facts, use_case.derivations(facts.derived))


def _description(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise ModelError(f"{path} does not exist: bundle the model again.")
    description: dict[str, Any] = yaml.safe_load(path.read_text())
    return description
