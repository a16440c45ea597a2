"""TrainedModel -> Evaluation: metrics, plots and the model card from the held-out rows."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asof.features.feature_store import registered_service
from asof.model_facts import ModelFacts
from asof.settings import Settings
from training.metrics import plots
from training.metrics.classification import (
    Floats,
    Labels,
    auc_estimate,
    confusion,
    mean_estimate,
    measure,
    row_log_loss,
)
from training.models.compilation.agreement import run
from training.models.compilation.compile import log_compiled
from training.models.evaluation.ablation import Ablation, ablate, metrics_of
from training.models.evaluation.model_card import MODEL_CARD, model_card
from training.models.evaluation.seal import golden_rows, seal
from training.models.fitting.fit import FittedModel, positive_probabilities
from training.models.fitting.train import TrainedModel
from training.one_thread import one_thread
from training.tracking.artifacts import logged_to_run
from training.tracking.client import open_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

IMPORTANCE_REPEATS = 3
IMPORTANCE_ROWS = 2000


@dataclass(frozen=True)
class Figures:
    """Held-out metrics of a model, its probabilities, shape (held-out rows,), and its confusion matrix.

    `metrics` are those of `training.metrics.classification.measure`, the ends of 95 % intervals (`auc_low`, `auc_high`
    ...), `recall_CLASS` at the threshold, the gains of `training.models.evaluation.ablation`, row counts, and
    `training_seconds`. `matrix` is that of `training.metrics.classification.confusion` at the threshold."""

    metrics: Mapping[str, float]
    probabilities: Floats
    matrix: NDArray[np.int64]
    ablations: tuple[Ablation, ...]


@dataclass(frozen=True)
class Evaluation:
    """An evaluated model of a run. `labels` and `probabilities` have the shape (held-out rows,)."""

    model_name: str
    run_id: str
    model_uri: str
    facts: ModelFacts
    metrics: Mapping[str, float]
    labels: Labels
    probabilities: Floats


def evaluate(settings: Settings, trained: TrainedModel) -> Evaluation:
    """Predicts the held-out rows and logs metrics, the confusion matrix, plots and the model card to the model's run.

    Then compiles the model and seals it: golden rows of what will be served are logged beside it, and all its files
    are signed. The metrics are scikit-learn's, with which a compiled model agrees.
    """
    client, side, figures = open_tracking(settings), trained.held_out, figures_of(trained)
    metrics, probabilities, matrix = figures.metrics, figures.probabilities, figures.matrix
    with one_thread():
        importance = _importance(trained)
    pictures = {
        "roc": plots.roc(side.labels, probabilities, metrics),
        "precision_recall": plots.precision_recall(side.labels, probabilities, metrics),
        "calibration": plots.calibration(side.labels, probabilities, metrics),
        "confusion_matrix": plots.confusion_matrix(matrix, trained.use_case.classes),
        "importance": plots.importance(importance),
    }
    card = model_card(
        trained,
        metrics,
        importance,
        ablations=figures.ablations,
        pictures=pictures,
        descriptions=_descriptions(settings, trained.facts.contract.feature_service),
    )
    _log(client, trained.run_id, metrics, pictures=pictures, card=card)
    counts = {"classes": list(trained.use_case.classes), "counts_by_true_class_and_answer": matrix.tolist()}
    client.log_dict(trained.run_id, counts, "confusion_matrix.json")
    served = log_compiled(client, trained)
    golden = golden_rows(side, run(served, side.features) if served else probabilities)
    seal(settings, trained.model_uri, trained.run_id, golden)
    return Evaluation(
        trained.use_case.model_name,
        trained.run_id,
        trained.model_uri,
        facts=trained.facts,
        metrics=metrics,
        labels=side.labels,
        probabilities=probabilities,
    )


def _descriptions(settings: Settings, feature_service: str) -> Mapping[str, str]:
    """Those of the registered features; none where they come in the request."""
    registered = registered_service(settings, feature_service) if feature_service else None
    return registered.descriptions if registered else {}


def figures_of(fitted: FittedModel) -> Figures:
    """Predicts the held-out rows; nothing is logged."""
    probabilities = positive_probabilities(fitted.model, fitted.held_out)
    ablations = ablate(fitted, probabilities)
    matrix = confusion(fitted.held_out.labels, probabilities >= fitted.facts.threshold)
    metrics = {**_metrics(fitted, probabilities), **_recalls(fitted, matrix), **metrics_of(ablations)}
    return Figures(metrics, probabilities, matrix, ablations=ablations)


def _metrics(fitted: FittedModel, probabilities: Floats) -> dict[str, float]:
    labels = fitted.held_out.labels
    base_rate = np.full(labels.size, fitted.train_side.labels.mean())
    return {
        **measure(labels, probabilities, fitted.facts.threshold),
        **_intervals(labels, probabilities),
        "log_loss_constant": float(row_log_loss(labels, base_rate).mean()),
        "rows_train": float(len(fitted.train_side.frame)),
        "rows_held_out": float(labels.size),
        "rows_dropped": float(fitted.dropped),
        "training_seconds": fitted.seconds,
    }


def _intervals(labels: Labels, probabilities: Floats) -> dict[str, float]:
    """The 95 % intervals that the gate uses; without those that have too few rows."""
    estimates = {
        "auc": auc_estimate(labels, probabilities),
        "log_loss": mean_estimate(labels, row_log_loss(labels, probabilities)),
        "brier": mean_estimate(labels, (probabilities - labels) ** 2),
    }
    ends = {f"{name}_{end}": getattr(each, end) for name, each in estimates.items() for end in ("low", "high")}
    return {name: value for name, value in ends.items() if isfinite(value)}


def _recalls(fitted: FittedModel, matrix: NDArray[np.int64]) -> dict[str, float]:
    """The recall of each class at the threshold."""
    return {
        f"recall_{name.replace(' ', '_')}": float(matrix[code, code] / matrix[code].sum())
        for code, name in enumerate(fitted.use_case.classes)
    }


def _importance(trained: TrainedModel) -> dict[str, float]:
    """Permutation importance of each column: the loss of AUC on the held-out rows, the greatest first."""
    from sklearn.inspection import permutation_importance

    features, labels = trained.held_out.features, trained.held_out.labels
    result = permutation_importance(
        trained.model,
        features,
        labels,
        scoring="roc_auc",
        n_repeats=IMPORTANCE_REPEATS,
        max_samples=min(1.0, IMPORTANCE_ROWS / labels.size),
        random_state=trained.facts.random_state,
    )
    losses = dict(zip(features.columns, map(float, result.importances_mean), strict=True))
    return dict(sorted(losses.items(), key=lambda each: -each[1]))


def _log(
    client: "MlflowClient", run_id: str, metrics: Mapping[str, float], *, pictures: Mapping[str, bytes], card: str
) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    client.log_batch(run_id, metrics=[Metric(name, value, now, 0) for name, value in metrics.items()])
    client.log_text(run_id, card, MODEL_CARD)
    with logged_to_run(client, run_id, "plots") as folder:
        for name, picture in pictures.items():
            (folder / f"{name}.png").write_bytes(picture)
