"""TrainingSet -> FittedModel: a classifier, and the rows that it was and was not fitted on. Nothing is logged."""

import time
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from asof.errors import AsOfError, ConfigurationError, TrainingSetError
from asof.model_facts import ModelFacts, Split
from asof.use_case import Estimator, UseCase
from training.data.snapshots.provenance import code_version
from training.features.datasets.training_set import TrainingSet
from training.metrics.classification import Floats, best_threshold
from training.models.fitting.model_digest import model_digest
from training.models.fitting.servable import check_fitted, probabilities, try_out
from training.one_thread import one_thread

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

MOST_CATEGORIES = 1000
"""Values of one feature that are kept; of one with more no value counts as unseen."""
FOLDS = 3
"""Folds behind the threshold: each row of the training side is scored by a model that has not seen it."""


@dataclass(frozen=True)
class Sides:
    """The complete rows on both sides of the split, and the estimator of that name that takes their features.

    `dropped` counts the rows that lack a feature: the service would not score them, so neither side holds them.
    """

    use_case: UseCase
    estimator: str
    train_side: TrainingSet
    held_out: TrainingSet
    dropped: int


@dataclass(frozen=True)
class FittedModel(Sides):
    """A fitted classifier and its facts. `search` is what was fitted: the search that found `model`, or `model` itself.

    `seconds` is the time of the fit, the search included.
    """

    model: "ClassifierMixin"
    search: "ClassifierMixin"
    facts: ModelFacts
    seconds: float


def divide(use_case: UseCase, training_set: TrainingSet, *, estimator: str | None = None) -> Sides:
    """Both sides for an estimator (default: the use case's).

    Raises ConfigurationError for an unknown estimator, TrainingSetError where the set has the wrong features, an entity
    twice, or a side without both classes.
    """
    name = estimator or use_case.default_estimator
    train_side, held_out = _sides(training_set, use_case.estimator(name), use_case.split)
    dropped = len(training_set.frame) - len(train_side.frame) - len(held_out.frame)
    return Sides(use_case, name, train_side, held_out, dropped=dropped)


def check_estimator(sides: Sides, *, random_state: int) -> None:
    """Raises ModelError where a fitted model could not be served: said before a run begins and minutes are spent.

    An estimator that cannot be built is left to the fit, whose run keeps the error; but ConfigurationError where a
    library is not installed.
    """
    side = sides.train_side
    try:
        estimator = _built(sides.use_case.estimator(sides.estimator), side, random_state)
    except AsOfError:
        raise
    except Exception:  # of the use case's own code
        return
    with one_thread():
        try_out(estimator, side.features, side.labels)


def fit_model(sides: Sides, *, random_state: int) -> FittedModel:
    """Fits the estimator on the training side.

    The threshold is the use case's, or else the one of the greatest F1 on out-of-fold probabilities of that side.
    Raises ModelError where the service could not serve the model.
    """
    use_case, side = sides.use_case, sides.train_side
    started = time.perf_counter()
    search = fit(use_case.estimator(sides.estimator), side, random_state)
    seconds = time.perf_counter() - started
    model = found(search)
    with one_thread():
        check_fitted(model, side.features)
    threshold = use_case.threshold
    if threshold is None:
        threshold = best_threshold(side.labels, _out_of_fold(model, side, random_state))
    return FittedModel(
        use_case,
        sides.estimator,
        side,
        sides.held_out,
        dropped=sides.dropped,
        model=model,
        search=search,
        facts=_facts(sides, threshold=threshold, random_state=random_state, digest=model_digest(model)),
        seconds=seconds,
    )


def fit(chosen: Estimator, side: TrainingSet, random_state: int) -> "ClassifierMixin":
    """The estimator, fitted on the side's rows in one thread."""
    with one_thread():
        return _built(chosen, side, random_state).fit(side.features, side.labels)


def positive(model: "ClassifierMixin", side: TrainingSet) -> Floats:
    """The probability of class 1 of each row of the side, shape (rows,), computed in one thread.

    Raises ModelError where the model gives something that is no probability.
    """
    with one_thread():
        return probabilities(model, side.features)


def found(fitted: "ClassifierMixin") -> "ClassifierMixin":
    """Of a search, only what it found; else the classifier itself. Raises TrainingSetError where it has no score."""
    if not isfinite(getattr(fitted, "best_score_", 0.0)):
        raise TrainingSetError(
            "The search has no score to choose by, as where a fold has rows of one class: take more rows, fewer folds."
        )
    best: ClassifierMixin = getattr(fitted, "best_estimator_", fitted)
    return best


def _built(chosen: Estimator, side: TrainingSet, random_state: int) -> "ClassifierMixin":
    try:
        return chosen.build(side.contract, random_state)
    except ImportError as error:
        raise ConfigurationError(
            f"The estimator needs a library that is not installed ({error}): take one of scikit-learn."
        ) from error


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
                f"The {name} side has {len(side.frame)} complete rows and not both labels: {_why_so_few(training_set)}."
            )
    counts = np.bincount(sides[0].labels)
    if counts.min() < FOLDS:
        raise TrainingSetError(
            f"The training side has {counts.min()} complete rows with the label {bool(counts.argmin())}: "
            f"at least {FOLDS} are needed, one for each fold."
        )
    return sides


def _why_so_few(training_set: TrainingSet) -> str:
    """What to do about it, naming the features that are null in the most rows."""
    rows, contract = len(training_set.frame), training_set.contract
    counts = training_set.frame[contract.names].isna().sum().sort_values(ascending=False, kind="stable")
    nulls = counts[counts > 0]
    if nulls.empty:
        return "more rows are needed"
    views = {feature.name: f"{feature.view}:{feature.name}".removeprefix(":") for feature in contract.features}
    worst = [f"{views[name]} is null in {'all' if nulls[name] == rows else nulls[name]}" for name in nulls.index[:5]]
    return f"of {rows} rows {', '.join(worst)}; load what is missing, or leave such a feature out"


def _out_of_fold(model: "ClassifierMixin", side: TrainingSet, random_state: int) -> Floats:
    """The probability of each row of the side, by a model that was fitted without it; shape (rows,)."""
    from sklearn.base import clone
    from sklearn.model_selection import StratifiedKFold

    features, labels = side.features, side.labels
    told = np.empty(labels.size)
    with one_thread():
        for kept, out in StratifiedKFold(FOLDS, shuffle=True, random_state=random_state).split(features, labels):
            fold = clone(model).fit(features.iloc[kept], labels[kept])
            told[out] = probabilities(fold, features.iloc[out])
    return told


def _facts(sides: Sides, *, threshold: float, random_state: int, digest: str) -> ModelFacts:
    code, side = code_version(), sides.train_side
    return ModelFacts(
        use_case=sides.use_case.name,
        estimator=sides.estimator,
        contract=side.contract,
        threshold=threshold,
        as_of=side.as_of,
        known_at=side.known_at,
        fingerprint=side.fingerprint,
        rows_digest=side.rows_digest,
        model_digest=digest,
        random_state=random_state,
        git_commit=code.commit,
        git_dirty=code.dirty,
        split=sides.use_case.split,
        derived=tuple(side.derived),
        ranges=_ranges(side),
        categories=_categories(side),
    )


def _ranges(side: TrainingSet) -> dict[str, tuple[float, float]]:
    """The smallest and the greatest value of each numeric feature of the contract."""
    features = side.features
    return {name: (float(features[name].min()), float(features[name].max())) for name in side.contract.numeric}


def _categories(side: TrainingSet) -> dict[str, tuple[str, ...]]:
    """The values of each categorical feature of the contract, in order."""
    features = side.features
    distinct = {name: sorted(features[name].unique()) for name in side.contract.categories}
    return {name: tuple(values) for name, values in distinct.items() if len(values) <= MOST_CATEGORIES}
