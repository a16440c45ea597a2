"""Snapshots -> training set -> model -> registry -> promotion."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from prefect import flow, task

from asof.settings import Moment
from asof.use_cases import load
from flows.inspect_flow import inspect_month
from flows.runtime.door import default_use_case, open_settings, open_tracked_settings
from flows.runtime.progress import log, publish
from flows.runtime.retries import RETRIES
from training.features.datasets.dataset import build_training_set, newest_labelled
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.gate.judge import judge_of
from training.release.promotion.promote import Promotion
from training.release.promotion.promote import promote as pass_gate
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion, model_version


@task(name="train-version", **RETRIES)
def train_version(use_case: str, as_of: datetime, known_at: datetime | None, estimator: str | None) -> ModelVersion:
    """Training set, fit, evaluation and registration: one new version."""
    settings, problem = open_settings(), load(use_case)
    service = problem.estimator(estimator).feature_service
    log.info("training set as of %s", as_of.date())
    training_set = build_training_set(settings, problem, as_of, known_at=known_at, feature_service=service)
    log.info("fitting on %d rows", len(training_set.frame))
    trained = train(settings, problem, training_set, estimator=estimator)
    log.info("evaluating run %s", trained.run_id)
    return register(settings, evaluate(settings, trained))


@task(name="promote", **RETRIES)
def promote_version(use_case: str, version: str, known_at: datetime | None = None, dry_run: bool = False) -> Promotion:
    """The version into Production, if it passes the gate as of what was known at a moment (default: now)."""
    settings, problem = open_settings(), load(use_case)
    challenger = model_version(settings, problem, version)
    log.info("judging version %s", version)
    judge = judge_of(settings, problem, challenger, known_at=known_at)
    return pass_gate(settings, challenger, judge=judge, dry_run=dry_run)


@flow(name="promote", description="One registered version into Production, if it passes the gate.")
def promote(use_case: str, version: str, dry_run: bool = False) -> dict[str, Any]:
    """Judges it, beside the version in Production, and promotes it if every criterion is met and it is no dry run."""
    outcome = promote_version(use_case, version, None, dry_run)
    publish("promotion", map(asdict, outcome.criteria), f"promoted: {outcome.promoted}, dry run: {dry_run}")
    return asdict(outcome) | {"dry_run": dry_run}


@flow(name="retrain", description="A new version from the snapshots, promoted only if it is better.")
def retrain(
    use_case: str | None = None,
    as_of: Moment | None = None,
    known_at: Moment | None = None,
    estimator: str | None = None,
    promotion: bool = True,
) -> dict[str, Any]:
    """Trains as of a moment (default: the newest that has labels), registers, and promotes through the gate.

    Refuses to train where the data checks find errors that the use case has not acknowledged (InspectionError).
    """
    use_case = use_case or default_use_case()
    settings = open_tracked_settings()
    moment = as_of or newest_labelled(settings, load(use_case), known_at)
    checks = inspect_month(use_case, moment, known_at)
    version = train_version(use_case, moment, known_at, estimator)
    outcome = promote_version(use_case, version.version, known_at) if promotion else None
    metrics = [{"metric": name, "value": value} for name, value in version.metrics.items()]
    publish("evaluation", metrics, f"{version.name} version {version.version}")
    if outcome:
        publish("promotion", map(asdict, outcome.criteria), f"promoted: {outcome.promoted}")
    return {
        "inspection": checks,
        "version": asdict(version),
        "promotion": asdict(outcome) if outcome else None,
    }
