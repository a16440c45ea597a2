"""TrainedModel -> Evaluation: metrics, plots and the model card from the held-out rows."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asof.features.feature_store import registered_service
from asof.model_facts import ModelFacts
from asof.settings import Settings
from training.metrics import plots
from training.metrics.classification import Floats
from training.models.compilation.agreement import run
from training.models.evaluation.ablation import Ablation, ablate, metrics_of
from training.models.evaluation.cards.model_card import MODEL_CARD, model_card
from training.models.evaluation.contributions import contributions, picture
from training.models.evaluation.reference_file import record_reference
from training.models.evaluation.seal import golden_rows, log_compiled, log_explainer, seal
from training.models.fitting.fit import FittedModel, predictions
from training.models.fitting.train import TrainedModel
from training.one_thread import one_thread
from training.targets.rules import Headline, Labels
from training.tracking.artifacts import logged_to_run
from training.tracking.client import open_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

IMPORTANCE_REPEATS = 3
IMPORTANCE_ROWS = 2000


@dataclass(frozen=True)
class Figures:
    """Held-out metrics of a model and its predictions of the held-out rows.

    `metrics` are those of the target's rules, with the ends of 95 % intervals (`auc_low`, `auc_high` ...), the gains of
    `training.models.evaluation.ablation`, row counts, and `training_seconds`."""

    metrics: Mapping[str, float]
    predictions: Floats
    ablations: tuple[Ablation, ...]


@dataclass(frozen=True)
class Evaluation:
    """An evaluated model of a run; `labels` and `predictions` are of the held-out rows."""

    model_name: str
    run_id: str
    model_uri: str
    facts: ModelFacts
    metrics: Mapping[str, float]
    headline: Headline
    labels: Labels
    predictions: Floats


def evaluate(settings: Settings, trained: TrainedModel) -> Evaluation:
    """Predicts the held-out rows, compiles the model, and logs metrics, plots and the model card to its run.

    Seals it then: golden rows of what will be served are logged beside it, and all its files are signed. The metrics
    are scikit-learn's, with which a compiled model agrees.
    """
    client, side, figures = open_tracking(settings), trained.held_out, figures_of(trained)
    metrics, predicted, rules, output = figures.metrics, figures.predictions, trained.rules, trained.facts.output
    importance = _importance(trained)
    served = log_compiled(client, trained)
    explainer = log_explainer(client, trained, served)
    contributed = contributions(explainer, side.features) if explainer else None
    pictures = {
        **rules.pictures(side.labels, predicted, output, metrics),
        "importance": plots.importance(importance, rules.importance.title),
        **({"contributions": picture(contributed)} if contributed else {}),
    }
    card = model_card(
        trained,
        metrics,
        importance,
        ablations=figures.ablations,
        contributed=contributed,
        pictures=pictures,
        descriptions=_descriptions(settings, trained.facts.contract.feature_service),
    )
    _log(client, trained.run_id, metrics, pictures=pictures, card=card)
    record_reference(client, trained.run_id, trained, predicted)
    for name, document in rules.documents(side.labels, predicted, output).items():
        client.log_dict(trained.run_id, document, name)
    golden = golden_rows(side, run(served, side.features) if served else predicted)
    seal(settings, trained.model_uri, trained.run_id, golden)
    return Evaluation(
        trained.use_case.model_name,
        trained.run_id,
        trained.model_uri,
        facts=trained.facts,
        metrics=metrics,
        headline=rules.headline,
        labels=side.labels,
        predictions=predicted,
    )


def _descriptions(settings: Settings, feature_service: str) -> Mapping[str, str]:
    """Those of the registered features; none where they come in the request."""
    registered = registered_service(settings, feature_service) if feature_service else None
    return registered.descriptions if registered else {}


def figures_of(fitted: FittedModel) -> Figures:
    """Predicts the held-out rows; nothing is logged."""
    predicted, side = predictions(fitted.model, fitted.held_out), fitted.held_out
    ablations, rules = ablate(fitted, predicted), fitted.rules
    constant = rules.constant(fitted.train_side.labels)
    metrics = {
        **rules.metrics(side.labels, predicted, fitted.facts.output, constant),
        "rows_train": float(len(fitted.train_side.frame)),
        "rows_held_out": float(len(side.frame)),
        "rows_dropped": float(fitted.dropped),
        "training_seconds": fitted.seconds,
        **metrics_of(ablations),
    }
    return Figures(metrics, predicted, ablations=ablations)


def _importance(trained: TrainedModel) -> dict[str, float]:
    """Permutation importance of each column: what it costs on the held-out rows to shuffle it, the greatest first."""
    from sklearn.inspection import permutation_importance

    features, labels = trained.held_out.features, trained.held_out.labels
    with one_thread():
        result = permutation_importance(
            trained.model,
            features,
            labels,
            scoring=trained.rules.importance.scorer,
            n_repeats=IMPORTANCE_REPEATS,
            max_samples=min(1.0, IMPORTANCE_ROWS / len(labels)),
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
