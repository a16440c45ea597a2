"""TrainingSet -> TrainedModel: fitted on the training side, saved with skops, logged to MLflow with its facts."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asof.errors import TrainingSetError
from asof.model_facts import ModelFacts, Split
from asof.settings import Settings
from asof.use_case import Estimator, UseCase
from training.code_version import code_version
from training.metrics import Floats, best_threshold
from training.record import record_definition, record_model, record_run, record_search
from training.tracking import tracked_run
from training.training_set import TrainingSet

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

FOLDS = 3
"""Folds behind the threshold: each row of the training side is scored by a model that has not seen it."""


@dataclass(frozen=True)
class TrainedModel:
    """A fitted classifier, where MLflow keeps it, and the rows that it was and was not trained on.

    `dropped` counts the rows that lack a feature: the service would not score them, so neither side holds them.
    `seconds` is the time of the fit, the search included.
    """

    use_case: UseCase
    estimator: str
    run_id: str
    model: "ClassifierMixin"
    facts: ModelFacts
    train_side: TrainingSet
    held_out: TrainingSet
    model_uri: str
    dropped: int
    seconds: float


def train(
    settings: Settings,
    use_case: UseCase,
    training_set: TrainingSet,
    *,
    estimator: str | None = None,
    random_state: int = 42,
) -> TrainedModel:
    """Fits the estimator (default: the use case's) on the rows that are not held out, and logs it as a new run.

    The threshold is the use case's, or else the one of the greatest F1 on out-of-fold probabilities of the training
    side. Raises ConfigurationError for an unknown estimator or an MLflow that does not answer, TrainingSetError where
    the set has the wrong features, an entity twice, or a side without both classes.
    """
    name = estimator or use_case.default_estimator
    chosen = use_case.estimator(name)
    train_side, held_out = _sides(training_set, chosen, use_case.split)
    with tracked_run(settings, use_case.model_name, name) as (client, run_id):
        started = time.perf_counter()
        fitted = fit(chosen, train_side, random_state)
        seconds = time.perf_counter() - started
        model = found(fitted)
        threshold = use_case.threshold
        if threshold is None:
            threshold = best_threshold(train_side.labels, _out_of_fold(model, train_side, random_state))
        facts = _facts(use_case, name, train_side, threshold=threshold, random_state=random_state)
        record_run(client, run_id, facts, model=model)
        record_definition(client, run_id, training_set.definition)
        record_search(client, run_id, fitted)
        model_uri = record_model(model, facts, example=held_out.features.head(3))
    dropped = len(training_set.frame) - len(train_side.frame) - len(held_out.frame)
    return TrainedModel(
        use_case,
        name,
        run_id,
        model,
        facts,
        train_side,
        held_out,
        model_uri=model_uri,
        dropped=dropped,
        seconds=seconds,
    )


def fit(chosen: Estimator, side: TrainingSet, random_state: int) -> "ClassifierMixin":
    """The estimator, fitted on the side's rows in one thread."""
    with one_thread():
        return chosen.build(side.contract, random_state).fit(side.features, side.labels)


def found(fitted: "ClassifierMixin") -> "ClassifierMixin":
    """Of a search, only what it found; else the classifier itself."""
    best: ClassifierMixin = getattr(fitted, "best_estimator_", fitted)
    return best


def one_thread() -> AbstractContextManager[Any]:
    """Keeps the libraries under scikit-learn to one thread: same digits on any number of cores, and no waiting.

    On two cores that others use as well, boosting's threads spun for each other: 87 seconds for what takes one
    thread 6.
    """
    # Only what is loaded can be limited, and this loads all of it: BLAS and OpenMP.
    import sklearn.ensemble  # noqa: F401
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def _sides(training_set: TrainingSet, chosen: Estimator, split: Split) -> tuple[TrainingSet, TrainingSet]:
    if (service := training_set.contract.feature_service) != chosen.feature_service:
        raise TrainingSetError(
            f"The training set is of {service}, the estimator takes {chosen.feature_service}: rebuild."
        )
    if training_set.entities.duplicated().any():
        raise TrainingSetError("The training set holds an entity twice: it must not be on both sides of a fold.")
    sides = training_set.complete().split(split)
    for name, side in zip(("training", "held-out"), sides, strict=True):
        if len(set(side.labels)) < 2:
            raise TrainingSetError(
                f"The {name} side has {len(side.frame)} complete rows and not both labels: more rows are needed."
            )
    return sides


def _out_of_fold(model: "ClassifierMixin", side: TrainingSet, random_state: int) -> Floats:
    """The probability of each row of the side, by a model that was fitted without it; shape (rows,)."""
    from sklearn.base import clone
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=random_state)
    with one_thread():
        scores = cross_val_predict(clone(model), side.features, side.labels, cv=folds, method="predict_proba")
    positive: Floats = scores[:, 1]
    return positive


def _facts(use_case: UseCase, estimator: str, side: TrainingSet, *, threshold: float, random_state: int) -> ModelFacts:
    code = code_version()
    return ModelFacts(
        use_case=use_case.name,
        estimator=estimator,
        contract=side.contract,
        threshold=threshold,
        as_of=side.as_of,
        known_at=side.known_at,
        fingerprint=side.fingerprint,
        rows_digest=side.rows_digest,
        random_state=random_state,
        git_commit=code.commit,
        git_dirty=code.dirty,
        split=use_case.split,
        derived=tuple(side.derived),
        ranges=_ranges(side),
    )


def _ranges(side: TrainingSet) -> dict[str, tuple[float, float]]:
    """The smallest and the greatest value of each numeric feature of the contract."""
    features = side.features
    return {name: (float(features[name].min()), float(features[name].max())) for name in side.contract.numeric}
