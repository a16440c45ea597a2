"""Snapshots -> training set -> model -> registry -> promotion."""

from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from prefect import flow, task

from asof.settings import Moment
from asof.use_cases import load
from flows.artifacts import publish
from flows.door import open_settings, open_tracked_settings
from flows.inspect_flow import inspect_month
from flows.progress import log
from flows.retries import RETRIES
from training.contest import hold_contest
from training.dataset import build_training_set, newest_labelled
from training.evaluate import evaluate
from training.gate import Criterion, judge
from training.parity.criterion import store_criteria
from training.promote import Promotion
from training.promote import promote as pass_gate
from training.register import ModelVersion, model_version, register
from training.train import train


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
def promote_version(use_case: str, version: str) -> Promotion:
    """The version into Production, if it passes the gate."""
    settings, problem = open_settings(), load(use_case)
    challenger = model_version(settings, problem, version)
    rebuild = partial(build_training_set, settings, problem, challenger.facts.as_of, known_at=challenger.facts.known_at)

    def criteria(champion: ModelVersion | None) -> tuple[Criterion, ...]:
        contest = hold_contest(
            settings,
            challenger,
            champion,
            training_set_for=lambda contract: rebuild(feature_service=contract.feature_service),
        )
        return (*judge(contest), *store_criteria(settings, problem, challenger.facts.contract))

    return pass_gate(settings, challenger, judge=criteria)


@flow(name="promote", description="One registered version into Production, if it passes the gate.")
def promote(use_case: str, version: str) -> dict[str, Any]:
    """Compares it with the version in Production and promotes it if it is better."""
    return asdict(promote_version(use_case, version))


@flow(name="retrain", description="A new version from the snapshots, promoted only if it is better.")
def retrain(
    use_case: str = "churn",
    as_of: Moment | None = None,
    known_at: Moment | None = None,
    estimator: str | None = None,
    promotion: bool = True,
) -> dict[str, Any]:
    """Trains as of a moment (default: the newest that has labels), registers, and promotes through the gate.

    Refuses to train where the data checks find errors that the use case has not acknowledged (InspectionError).
    """
    settings = open_tracked_settings()
    moment = as_of or newest_labelled(settings, load(use_case))
    checks = inspect_month(use_case, moment, known_at)
    version = train_version(use_case, moment, known_at, estimator)
    outcome = promote_version(use_case, version.version) if promotion else None
    metrics = [{"metric": name, "value": value} for name, value in version.metrics.items()]
    publish("evaluation", metrics, f"{version.name} version {version.version}")
    if outcome:
        publish("promotion", map(asdict, outcome.criteria), f"promoted: {outcome.promoted}")
    return {
        "inspection": checks,
        "version": asdict(version),
        "promotion": asdict(outcome) if outcome else None,
    }
