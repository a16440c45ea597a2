"""ModelVersion -> Reproduction: its rows rebuilt as known then, its model refitted, and both compared.

Nothing is registered or logged to MLflow: the result is not a candidate.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg

from asof.errors import TrainingSetError
from asof.model_facts import ModelFacts
from asof.settings import Settings
from asof.trust.trusted_types import load_trusted
from asof.use_case import UseCase
from training.audit.environment import Drift, environment_drift
from training.audit.reproduction.rebuilt import Rebuilt, compare_sets
from training.data.snapshots.months.dropped import dropped_of_run
from training.features.datasets.dataset import build_training_set
from training.features.datasets.training_set import TrainingSet
from training.models.evaluation.evaluate import figures_of
from training.models.fitting.fit import FittedModel, divide, fit_model
from training.models.fitting.model_digest import file_digest
from training.models.fitting.run_record import search_figures
from training.one_thread import one_thread
from training.release.registry.versions import ModelVersion, model_file
from training.tracking.registry_tables import open_registry

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

NOT_REPEATABLE = {"training_seconds"}


@dataclass(frozen=True)
class Check:
    """One comparison. `agrees` is None if the version recorded too little for it."""

    check: str
    agrees: bool | None
    recorded: str
    now: str


@dataclass(frozen=True)
class MetricDiffers:
    """A metric that differs in any digit; None if it is missing."""

    metric: str
    recorded: float | None
    now: float | None


@dataclass(frozen=True)
class Reproduction:
    """The comparison of a version with its reproduction; `agrees` if every check does.

    `greatest_difference` is the maximum between both models' predictions for the present held-out rows; None if they
    cannot be compared. `not_compared` says what was not compared of the model, and why, `rebuilt.not_compared` what of
    the training set.
    """

    name: str
    version: str
    agrees: bool
    verdict: str
    greatest_difference: float | None
    checks: tuple[Check, ...]
    rebuilt: Rebuilt
    metrics: tuple[MetricDiffers, ...]
    environment: tuple[Drift, ...]
    not_compared: tuple[str, ...]


def reproduce(settings: Settings, use_case: UseCase, version: ModelVersion) -> Reproduction:
    """Builds the version's training set as known then, fits its estimator on it, and compares both.

    Raises TrainingSetError if there is no such set any more, because retention has dropped rows of it or otherwise,
    ModelError if a derived column is gone or the version's file is not to be trusted, ConfigurationError if the
    estimator is gone.
    """
    _require_rows(settings, version)
    client, facts, recipe = open_registry(settings), version.facts, _as_trained(use_case, version.facts)
    service = facts.contract.feature_service
    now = build_training_set(settings, recipe, facts.as_of, known_at=facts.known_at, feature_service=service)
    rebuilt = compare_sets(client, settings, recipe, version, now=now)
    fitted, missing = None, []
    with model_file(settings, version) as path:
        stored, stored_digest = load_trusted(path.read_bytes()), file_digest(path)
    try:
        fitted = fit_model(divide(recipe, now), random_state=facts.random_state)
    except TrainingSetError as error:
        missing.append(f"No model could be fitted on the present rows. {error}")
    if not facts.model_digest:
        missing.append("The version is older than the model's digest: that of its artifact was compared.")
    metrics = _metrics(version, fitted)
    same_metrics = Check("metrics", not metrics, "", f"{len(metrics)} differ" if metrics else "")
    checks = (*_set_checks(facts, now, rebuilt), *_model_checks(facts, stored_digest, fitted), same_metrics)
    drift = environment_drift(client.get_run(version.run_id).data.tags)
    return Reproduction(
        version.name,
        version.version,
        agrees=all(check.agrees for check in checks),
        verdict=_verdict(checks, rebuilt, drift),
        greatest_difference=_greatest_difference(facts, stored, fitted),
        checks=checks,
        rebuilt=rebuilt,
        metrics=metrics,
        environment=drift,
        not_compared=tuple(missing),
    )


def _require_rows(settings: Settings, version: ModelVersion) -> None:
    with psycopg.connect(settings.conninfo()) as connection:
        if dropped := dropped_of_run(connection, version.run_id):
            raise TrainingSetError(f"{version.name} version {version.version} cannot be reproduced any more. {dropped}")


def _as_trained(use_case: UseCase, facts: ModelFacts) -> UseCase:
    """The use case with the split, sample, derived columns and feature service of the version."""
    chosen = replace(use_case.estimator(facts.estimator), feature_service=facts.contract.feature_service)
    return replace(
        use_case.sampled(facts.sample),
        split=facts.split,
        derived=use_case.derivations(facts.derived),
        estimators={facts.estimator: chosen},
        default_estimator=facts.estimator,
    )


def _set_checks(facts: ModelFacts, now: TrainingSet, rebuilt: Rebuilt) -> Iterable[Check]:
    same = None if rebuilt.rows_agree is None else facts.fingerprint == now.fingerprint
    yield Check("fingerprint", same, facts.fingerprint, now.fingerprint)
    yield Check("rows", rebuilt.rows_agree, facts.rows_digest, now.rows_digest)
    lines = f"{len(rebuilt.definition)} changed lines" if rebuilt.definition else ""
    yield Check("definition", rebuilt.definition_agrees, "", lines)


def _model_checks(facts: ModelFacts, stored: str, fitted: FittedModel | None) -> Iterable[Check]:
    """`stored` is the digest of the model in MLflow."""
    recorded, now = facts.model_digest or stored, fitted.facts.model_digest if fitted else ""
    yield Check("model", recorded == now, recorded, now)
    if facts.model_digest:
        yield Check("artefact", stored == facts.model_digest, facts.model_digest, stored)


def _metrics(version: ModelVersion, fitted: FittedModel | None) -> tuple[MetricDiffers, ...]:
    """The metrics that differ; all if no model was fitted."""
    now: Mapping[str, float] = {}
    if fitted:
        now = {**figures_of(fitted).metrics, **search_figures(fitted.search)}
    names = sorted((version.metrics.keys() | now.keys()) - NOT_REPEATABLE)
    pairs = (MetricDiffers(name, version.metrics.get(name), now.get(name)) for name in names)
    differing = (each for each in pairs if each.recorded != each.now)
    return tuple(each for each in differing if each.recorded == each.recorded or each.now == each.now)  # not both NaN


def _greatest_difference(facts: ModelFacts, stored: "BaseEstimator", fitted: FittedModel | None) -> float | None:
    if fitted is None or fitted.facts.contract != facts.contract:
        return None
    with one_thread():
        then, now = (facts.output.of_estimator(model, fitted.held_out.features) for model in (stored, fitted.model))
    return float(facts.output.differences(now, then).max())


def _verdict(checks: Iterable[Check], rebuilt: Rebuilt, drift: Iterable[Drift]) -> str:
    """One sentence for each disagreement, the likeliest cause first."""
    agrees = {check.check: check.agrees for check in checks}
    if all(agrees.values()):
        return "It comes out the same: rows, definition, metrics and model."
    if rebuilt.differences and not any(vars(rebuilt.differences).values()):
        agrees["rows"] = None  # all common cells are the same: only the columns differ
    changed = ", ".join(f"{each.name} {each.recorded}, now {each.now}" for each in drift if each.changed)
    sentences = {
        "artefact": "The model in MLflow is not the one that was trained.",
        "rows": "The rows are not those that it was trained on.",
        "definition": "The features or their SQL are defined otherwise now.",
    }
    verdict = [sentence for name, sentence in sentences.items() if agrees.get(name) is False]
    if rebuilt.erased:
        others = " The others are the same." if rebuilt.rows_agree is None else ""
        erased = f"Erased: {rebuilt.erased} of the rows that it was trained on.{others}"
        return " ".join([erased, *verdict, "Without them its model cannot come out the same."])
    if agrees["rows"] is not False and not (agrees["model"] and agrees["metrics"]):
        what = "metrics" if agrees["model"] else "model"
        verdict += [f"The environment differs: {changed}." if changed else "The environment is the same."]
        verdict += [f"The {what} came out differently{' from the same rows' if agrees['rows'] else ''}."]
    return " ".join(verdict) or "What could be compared is the same, but not everything could be."
