"""Challenger and champion -> Contest: their probabilities for the same rows, which are held out from both."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from asof.errors import ModelError, TrainingSetError
from asof.features.feature_contract import FeatureContract, model_input
from asof.settings import Settings
from training.features.datasets.training_set import TrainingSet
from training.metrics.classification import Floats, Labels
from training.models.fitting.servable import probabilities
from training.one_thread import one_thread
from training.release.registry.versions import ModelVersion, load_model

BuildSet = Callable[[FeatureContract], TrainingSet]
"""Builds the rows of a contract as of the moment of the comparison, as known at one moment."""


@dataclass(frozen=True)
class Contest:
    """Labels (0 or 1) and probabilities of the same held-out rows, each of shape (rows,).

    `champion` is None where nothing is in Production. `base_rate` is the share of positives in the rows that are not
    held out: the prediction of a constant model. `seed` is that of the calibration draws.
    """

    labels: Labels
    challenger: Floats
    champion: Floats | None
    base_rate: float
    seed: int


def hold_contest(
    settings: Settings, challenger: ModelVersion, champion: ModelVersion | None, *, training_set_for: BuildSet
) -> Contest:
    """Scores both on the rows that are held out from both and have every feature of both.

    A split by key holds the same users out in every month, so the rows may be of a later month than the models'.
    Raises ModelError where a split was drawn from other rows, where the champion's features are gone, or where a model
    gives no probabilities; TrainingSetError where no row is complete.
    """
    own = _require_known_split(challenger, training_set_for(challenger.facts.contract))
    train_side, held_out = own.complete().split(challenger.facts.split)
    table = pd.DataFrame({"label": held_out.labels}, index=pd.Index(held_out.entities))
    table["challenger"] = _scores(settings, challenger, held_out)
    if champion:  # rows that are not held out from the champion as well get NaN, and are dropped
        table["champion"] = _champion_scores(settings, champion, own, training_set_for=training_set_for)
    table = table.dropna()
    return Contest(
        labels=table["label"].to_numpy(dtype="int64"),
        challenger=table["challenger"].to_numpy(),
        champion=table["champion"].to_numpy() if champion else None,
        base_rate=float(train_side.labels.mean()),
        seed=challenger.facts.random_state,
    )


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


def _champion_scores(
    settings: Settings, champion: ModelVersion, own: TrainingSet, *, training_set_for: BuildSet
) -> "pd.Series[float]":
    contract, split = champion.facts.contract, champion.facts.split
    rows = own if contract.digest == own.contract.digest else training_set_for(contract)
    _, held_out = _require_known_split(champion, rows).complete().split(split)
    return pd.Series(_scores(settings, champion, held_out), index=pd.Index(held_out.entities))


def _scores(settings: Settings, version: ModelVersion, side: TrainingSet) -> Floats:
    """The version's probabilities, shape (rows,), from the features of its own contract."""
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
            return probabilities(load_model(settings, version), features)
    except ModelError as error:
        raise ModelError(f"{version.name} version {version.version} cannot be compared: {error}") from error
