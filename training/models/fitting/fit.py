"""TrainingSet -> FittedModel: a fitted estimator, its training side and its held-out side. Nothing is logged."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asof.errors import AsOfError, ConfigurationError, TrainingSetError, is_missing_library
from asof.features.feature_contract import FeatureContract
from asof.model_facts import ModelFacts
from asof.targets import Output
from asof.use_case import Estimator, UseCase
from training.data.snapshots.provenance import code_version
from training.features.datasets.training_set import TrainingSet
from training.metrics.classification import Floats
from training.models.fitting.model_digest import model_digest
from training.models.fitting.reproducible import forget_when, make_reproducible
from training.models.fitting.servable import check_fitted, check_on_sample
from training.models.fitting.shared_steps import shared_steps
from training.one_thread import one_thread
from training.targets import rules_of
from training.targets.rules import Rules

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

MAX_CATEGORIES = 1000
"""Categories of a feature that the facts list; a feature with more is not listed, and none of its values is flagged."""


@dataclass(frozen=True)
class Sides:
    """The complete rows on both sides of the split, and the name of the estimator.

    `dropped` is the number of rows that lack a feature and are on neither side: the service would not score them;
    `missing` is that of the rows that lack it, by feature.
    """

    use_case: UseCase
    estimator: str
    train_side: TrainingSet
    held_out: TrainingSet
    dropped: int
    missing: Mapping[str, int]

    @property
    def rules(self) -> Rules:
        """The rules of the use case's target."""
        return rules_of(self.use_case.target)


@dataclass(frozen=True)
class FittedModel(Sides):
    """A fitted estimator and its facts. `search` is the fitted search whose best estimator is `model`, else `model`.

    `seconds` is the time of the fit, including the search.
    """

    model: "BaseEstimator"
    search: "BaseEstimator"
    facts: ModelFacts
    seconds: float


def divide(use_case: UseCase, training_set: TrainingSet, *, estimator: str | None = None) -> Sides:
    """Splits the rows for an estimator (default: the use case's).

    Raises ConfigurationError for an unknown estimator, TrainingSetError where the set is of another feature service,
    has an entity twice, or has labels on a side that no model can be fitted to.
    """
    name = estimator or use_case.default_estimator
    check_slices(use_case, training_set.contract)
    train_side, held_out = _sides(training_set, use_case.estimator(name), use_case)
    dropped = len(training_set.frame) - len(train_side.frame) - len(held_out.frame)
    missing = {each: int(training_set.frame[each].isna().sum()) for each in training_set.contract.names}
    return Sides(use_case, name, train_side, held_out, dropped=dropped, missing=missing)


def check_slices(use_case: UseCase, contract: FeatureContract) -> None:
    """Raises ConfigurationError for a slice that is no feature of the contract."""
    if unknown := [name for name in use_case.slices if name not in contract.names]:
        raise ConfigurationError(
            f"The slices {', '.join(unknown)} are no features of the model. Take some of: {', '.join(contract.names)}."
        )


def check_estimator(sides: Sides, *, random_state: int) -> None:
    """Raises ModelError where the fitted model could not be served, before a run is started.

    An estimator whose `build` fails raises in `fit_model`, so that its run has the error; ConfigurationError where it
    needs a library that is not installed.
    """
    side = sides.train_side
    try:
        estimator = _built(sides.use_case.estimator(sides.estimator), side, random_state)
    except AsOfError:
        raise
    except Exception:  # of the use case's own code
        return
    with one_thread():
        check_on_sample(sides.rules, estimator, side.features, side.labels)


def fit_model(sides: Sides, *, random_state: int) -> FittedModel:
    """Fits the estimator on the training side.

    A threshold or an interval that the target leaves open is of out-of-fold predictions of the training side. Raises
    ModelError where the service could not serve the model.
    """
    use_case, side = sides.use_case, sides.train_side
    started = time.perf_counter()
    search = fit(use_case.estimator(sides.estimator), side, random_state)
    seconds = time.perf_counter() - started
    model = forget_when(best_estimator(search))
    with one_thread():
        check_fitted(sides.rules, model, side.features)
    output = sides.rules.output(side.labels, lambda: _out_of_fold(sides.rules, model, side, random_state))
    return FittedModel(
        **vars(sides),
        model=model,
        search=search,
        facts=_facts(sides, output, random_state=random_state, digest=model_digest(model)),
        seconds=seconds,
    )


def fit(chosen: Estimator, side: TrainingSet, random_state: int) -> "BaseEstimator":
    """The estimator, fitted on the side's rows in one thread."""
    estimator = _built(chosen, side, random_state)
    with one_thread(), shared_steps(estimator):
        return estimator.fit(side.features, side.labels)


def predictions(model: "BaseEstimator", side: TrainingSet) -> Floats:
    """The prediction of each row, computed in one thread. Raises ModelError as the target's rules do."""
    with one_thread():
        return rules_of(side.target).predictions(model, side.features)


def best_estimator(fitted: "BaseEstimator") -> "BaseEstimator":
    """The best estimator of a search; else the estimator itself. Raises TrainingSetError where it has no score."""
    if not hasattr(fitted, "best_estimator_"):
        return fitted
    if not isfinite(fitted.best_score_):
        raise TrainingSetError(
            "The search has no finite score, as where a fold has rows of one class: use more rows or fewer folds."
        )
    best: BaseEstimator = fitted.best_estimator_
    return best


def _built(chosen: Estimator, side: TrainingSet, random_state: int) -> "BaseEstimator":
    try:
        return make_reproducible(chosen.build(side.contract, random_state))
    except (ImportError, OSError) as error:
        if not is_missing_library(error):
            raise
        raise ConfigurationError(
            f"The estimator needs a library that is not installed ({error}): install it "
            "(docs/models/boosters.md), or use an estimator of scikit-learn."
        ) from error


def _sides(training_set: TrainingSet, chosen: Estimator, use_case: UseCase) -> tuple[TrainingSet, TrainingSet]:
    if (service := training_set.contract.feature_service) != chosen.feature_service:
        raise TrainingSetError(
            f"The training set is of {service}, the estimator takes {chosen.feature_service}: build that set."
        )
    if training_set.entities.duplicated().any():
        raise TrainingSetError(
            "The training set holds an entity twice: keep one row of each, or it could be on both sides of a fold."
        )
    sides, rules = training_set.complete().split(use_case.split), rules_of(use_case.target)
    for name, side in zip(("training", "held-out"), sides, strict=True):
        if fault := rules.side_fault(side.labels):
            raise TrainingSetError(f"The {name} side has {fault}: {_why_so_few(training_set)}.")
    if fault := rules.fold_fault(sides[0].labels):
        raise TrainingSetError(f"The training side has {fault}.")
    return sides


def _why_so_few(training_set: TrainingSet) -> str:
    """The features that are null in the most rows, and what to do."""
    rows, contract = len(training_set.frame), training_set.contract
    counts = training_set.frame[contract.names].isna().sum().sort_values(ascending=False, kind="stable")
    nulls = counts[counts > 0]
    if nulls.empty:
        return "more rows are needed"
    views = {feature.name: f"{feature.view}:{feature.name}".removeprefix(":") for feature in contract.features}
    worst = [f"{views[name]} is null in {'all' if nulls[name] == rows else nulls[name]}" for name in nulls.index[:5]]
    return f"of {rows} rows {', '.join(worst)}; load the missing rows, or remove such a feature"


def _out_of_fold(rules: Rules, model: "BaseEstimator", side: TrainingSet, random_state: int) -> Floats:
    """The prediction of each row from a model fitted without it."""
    from sklearn.base import clone

    features, labels = side.features, side.labels
    parts: list[tuple[NDArray[np.int64], Floats]] = []
    with one_thread():
        for kept, out in rules.folds(random_state).split(features, labels):
            fold = clone(model).fit(features.iloc[kept], labels[kept])
            parts.append((out, rules.predictions(fold, features.iloc[out])))
    rows = np.concatenate([out for out, _ in parts])
    return np.concatenate([predicted for _, predicted in parts])[np.argsort(rows)]


def _facts(sides: Sides, output: Output, *, random_state: int, digest: str) -> ModelFacts:
    code, side, features = code_version(), sides.train_side, sides.train_side.features
    categories = {name: tuple(sorted(features[name].unique())) for name in side.contract.categories}
    return ModelFacts(
        use_case=sides.use_case.name,
        estimator=sides.estimator,
        contract=side.contract,
        **output.facts(),
        as_of=side.as_of,
        known_at=side.known_at,
        fingerprint=side.fingerprint,
        rows_digest=side.rows_digest,
        model_digest=digest,
        random_state=random_state,
        git_commit=code.commit,
        git_dirty=code.dirty,
        split=sides.use_case.split,
        sample=sides.use_case.sample,
        derived=tuple(side.derived),
        ranges={name: (float(features[name].min()), float(features[name].max())) for name in side.contract.numeric},
        categories={name: values for name, values in categories.items() if len(values) <= MAX_CATEGORIES},
    )
