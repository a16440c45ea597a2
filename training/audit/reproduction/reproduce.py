"""ModelVersion -> Reproduction: its rows built again as they were known then, its model fitted again, both compared.

Nothing is registered, and MLflow gets no run: what comes out is no candidate.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from asof.errors import TrainingSetError
from asof.model_facts import ModelFacts
from asof.settings import Settings
from asof.trust.trusted_types import load_trusted
from asof.use_case import UseCase
from training.audit.reproduction.environment import Drift, environment_drift
from training.audit.reproduction.rebuilt import Rebuilt, Recorded, compare_sets
from training.features.datasets.dataset import build_training_set
from training.features.datasets.training_set import TrainingSet
from training.models.evaluation.evaluate import figures_of
from training.models.fitting.fit import FittedModel, divide, fit_model
from training.models.fitting.model_digest import file_digest
from training.models.fitting.run_record import search_figures
from training.one_thread import one_thread
from training.release.registry.versions import ModelVersion, model_file
from training.tracking.client import open_tracking

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

TIMES = {"training_seconds"}
"""Metrics that no second run repeats."""


@dataclass(frozen=True)
class Check:
    """One thing that must come out the same. `agrees` is None where the version recorded too little to tell."""

    check: str
    agrees: bool | None
    recorded: str
    now: str


@dataclass(frozen=True)
class MetricDiffers:
    """A metric that is not the same to the last digit; None where there is none of the name."""

    metric: str
    recorded: float | None
    now: float | None


@dataclass(frozen=True)
class Reproduction:
    """What came out the same and what did not; `agrees` only if every check does.

    `greatest_difference` is the greatest one between both models' probabilities of the same held-out rows, as these are
    now; None where they cannot be compared. `not_compared` says what could not be compared of the model, and why;
    `rebuilt.not_compared` what of the training set.
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


@dataclass(frozen=True)
class _Kept:
    """The model as MLflow keeps it, and its digest."""

    model: "ClassifierMixin"
    digest: str


def reproduce(settings: Settings, use_case: UseCase, version: ModelVersion) -> Reproduction:
    """Builds the version's training set from the database as known then, fits its estimator on it, and compares.

    Raises TrainingSetError where there is no such set any more, ModelError where a derived column is gone or the
    version's file is not to be trusted, ConfigurationError where the estimator is gone.
    """
    client, facts, problem = open_tracking(settings), version.facts, _as_trained(use_case, version.facts)
    service = facts.contract.feature_service
    now = build_training_set(settings, problem, facts.as_of, known_at=facts.known_at, feature_service=service)
    rebuilt = compare_sets(settings, problem, Recorded(client, version.run_id, facts), now)
    kept, fitted, missing = _kept(settings, version), None, []
    try:
        fitted = fit_model(divide(problem, now), random_state=facts.random_state)
    except TrainingSetError as error:
        missing.append(f"There is no model of the rows as they are now. {error}")
    if not facts.model_digest:
        missing.append("It is from before the model's digest was recorded: that of the artefact is taken for it.")
    metrics = _metrics(version, fitted)
    checks = (*_set_checks(facts, now, rebuilt), *_model_checks(facts, kept, fitted), _metrics_check(metrics))
    drift = environment_drift(client.get_run(version.run_id).data.tags)
    return Reproduction(
        version.name,
        version.version,
        agrees=all(check.agrees for check in checks),
        verdict=_verdict(checks, rebuilt, drift),
        greatest_difference=_greatest_difference(facts, kept, fitted),
        checks=checks,
        rebuilt=rebuilt,
        metrics=metrics,
        environment=drift,
        not_compared=tuple(missing),
    )


def _as_trained(use_case: UseCase, facts: ModelFacts) -> UseCase:
    """The use case with the split, the derived columns and the feature service that the version was trained with."""
    chosen = replace(use_case.estimator(facts.estimator), feature_service=facts.contract.feature_service)
    return replace(
        use_case,
        split=facts.split,
        derived=use_case.derivations(facts.derived),
        estimators={facts.estimator: chosen},
        default_estimator=facts.estimator,
    )


def _kept(settings: Settings, version: ModelVersion) -> _Kept:
    with model_file(settings, version) as path:
        return _Kept(load_trusted(path.read_bytes()), file_digest(path))


def _set_checks(facts: ModelFacts, now: TrainingSet, rebuilt: Rebuilt) -> Iterable[Check]:
    told = rebuilt.rows_agree is not None
    whole = facts.fingerprint == now.fingerprint if told else None
    yield Check("fingerprint", whole, facts.fingerprint, now.fingerprint)
    yield Check("rows", rebuilt.rows_agree, facts.rows_digest, now.rows_digest)
    lines = f"{len(rebuilt.definition)} changed lines" if rebuilt.definition else ""
    yield Check("definition", rebuilt.definition_agrees, "", lines)


def _model_checks(facts: ModelFacts, kept: _Kept, fitted: FittedModel | None) -> Iterable[Check]:
    recorded, now = facts.model_digest or kept.digest, fitted.facts.model_digest if fitted else ""
    yield Check("model", recorded == now, recorded, now)
    if facts.model_digest:
        yield Check("artefact", kept.digest == facts.model_digest, facts.model_digest, kept.digest)


def _metrics_check(metrics: tuple[MetricDiffers, ...]) -> Check:
    return Check("metrics", not metrics, "", f"{len(metrics)} differ" if metrics else "")


def _metrics(version: ModelVersion, fitted: FittedModel | None) -> tuple[MetricDiffers, ...]:
    """Those that differ; all of them where there is no model to measure."""
    now: Mapping[str, float] = {}
    if fitted:
        now = {**figures_of(fitted).metrics, **search_figures(fitted.search)}
    names = sorted((version.metrics.keys() | now.keys()) - TIMES)
    pairs = (MetricDiffers(name, version.metrics.get(name), now.get(name)) for name in names)
    return tuple(each for each in pairs if not _same(each.recorded, each.now))


def _same(recorded: float | None, now: float | None) -> bool:
    both_nan = recorded is not None and now is not None and np.isnan(recorded) and np.isnan(now)
    return recorded == now or bool(both_nan)


def _greatest_difference(facts: ModelFacts, kept: _Kept, fitted: FittedModel | None) -> float | None:
    if fitted is None or fitted.facts.contract != facts.contract:
        return None
    with one_thread():
        then, now = (model.predict_proba(fitted.held_out.features)[:, 1] for model in (kept.model, fitted.model))
    return float(np.abs(then - now).max())


def _verdict(checks: Iterable[Check], rebuilt: Rebuilt, drift: Iterable[Drift]) -> str:
    """One sentence for each thing that does not agree, the likeliest cause first."""
    agrees = {check.check: check.agrees for check in checks}
    if all(agrees.values()):
        return "It comes out the same: rows, definition, metrics and model."
    if rebuilt.differences and not any(vars(rebuilt.differences).values()):
        agrees["rows"] = None  # only the features are others: every cell of those that are left is the same
    changed = ", ".join(f"{each.name} {each.recorded}, now {each.now}" for each in drift if each.changed)
    sentences = {
        "artefact": "The model in MLflow is not the one that was trained.",
        "rows": "The rows are not those that it was trained on.",
        "definition": "The features or their SQL are defined otherwise now.",
    }
    told = [sentence for name, sentence in sentences.items() if agrees.get(name) is False]
    if agrees["rows"] is not False and not (agrees["model"] and agrees["metrics"]):
        what = "metrics" if agrees["model"] else "model"
        told += [f"The environment is another: {changed}." if changed else "The environment is the same."]
        told += [f"The {what} came out otherwise{' from the same rows' if agrees['rows'] else ''}."]
    return " ".join(told) or "What could be compared came out the same, but not everything could."
