"""Challenger and champion -> Contest: their predictions for the same rows, which are held out from both."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from asof.errors import ModelError, TrainingSetError
from asof.features.feature_contract import FeatureContract, model_input
from asof.settings import Settings
from training.features.datasets.training_set import TrainingSet
from training.metrics.classification import Floats
from training.one_thread import one_thread
from training.release.registry.versions import ModelVersion, load_model
from training.targets import rules_of
from training.targets.rules import Contest

BuildSet = Callable[[FeatureContract], TrainingSet]
"""Builds the rows of a contract as of the moment of the comparison, as known at one moment."""


def hold_contest(
    settings: Settings, challenger: ModelVersion, champion: ModelVersion | None, *, training_set_for: BuildSet
) -> Contest:
    """Scores both on the rows that are held out from both and have every feature of both.

    A split by key holds the same users out in every month, so the rows may be of a later month than the models'.
    Raises ModelError where a split was drawn from other rows, where the champion's features are gone, or where a model
    gives no predictions of the target; TrainingSetError where no row is complete.
    """
    own = _require_known_split(challenger, training_set_for(challenger.facts.contract))
    train_side, held_out = own.complete().split(challenger.facts.split)
    ours, theirs, labels = _predictions(settings, challenger, held_out), None, held_out.labels
    if champion:  # rows that are not held out from the champion as well are left out
        rows, predicted = _champion_predictions(settings, champion, own, training_set_for=training_set_for)
        places = rows.get_indexer(_index(held_out))
        ours, theirs, labels = ours[places >= 0], predicted[places[places >= 0]], labels[places >= 0]
    return Contest(
        labels=labels,
        challenger=ours,
        champion=theirs,
        constant=rules_of(own.target).constant(train_side.labels),
        seed=challenger.facts.random_state,
    )


def _index(side: TrainingSet) -> "pd.Index[Any]":
    return pd.Index(side.entities.tolist(), dtype=object, tupleize_cols=False)


def _require_known_split(version: ModelVersion, rows: TrainingSet) -> TrainingSet:
    """Returns the rows. Raises ModelError where it is unknown which of them the version was trained on."""
    facts = version.facts
    if facts.split.seed is not None and rows.rows_digest != facts.rows_digest:
        raise ModelError(
            f"{version.name} version {version.version} was trained on rows drawn from another data set "
            f"(rows {facts.rows_digest[:12] or 'not recorded'}, now {rows.rows_digest[:12]}): it is unknown which of "
            "these it was trained on. Train it again, or split by key (a Split without a seed)."
        )
    return rows


def _champion_predictions(
    settings: Settings, champion: ModelVersion, own: TrainingSet, *, training_set_for: BuildSet
) -> tuple["pd.Index[Any]", Floats]:
    """The entities held out from the champion, and its prediction of each."""
    contract, split = champion.facts.contract, champion.facts.split
    rows = own if contract.digest == own.contract.digest else training_set_for(contract)
    _, held_out = _require_known_split(champion, rows).complete().split(split)
    return _index(held_out), _predictions(settings, champion, held_out)


def _predictions(settings: Settings, version: ModelVersion, side: TrainingSet) -> Floats:
    """The version's predictions from the features of its own contract."""
    if side.frame.empty:
        raise TrainingSetError(
            f"No held-out row as of {side.as_of.date()} has every feature of {version.name} version {version.version}: "
            "ingest that moment again."
        )
    try:
        derived = {name: side.derived[name] for name in version.facts.derived}
        features = model_input(side.frame, version.facts.contract, derived)
    except KeyError as error:
        raise ModelError(
            f"{version.name} version {version.version} takes the feature {error}, which "
            f"{side.contract.feature_service or version.facts.use_case} no longer has: restore it, or roll back to a "
            "version without it."
        ) from error
    try:
        with one_thread():
            return rules_of(side.target).predictions(load_model(settings, version), features)
    except ModelError as error:
        raise ModelError(f"{version.name} version {version.version} cannot be compared: {error}") from error
