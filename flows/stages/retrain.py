"""The stage `retrain`: snapshots -> training set -> model -> registry -> promotion."""

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from asof.extracts.cadence import moment_text
from asof.settings import EngineName, Moment, with_engine
from asof.use_cases import default_name, load
from flows.lineage.datasets import of_retrain
from flows.lineage.emitting import emits_lineage
from flows.runtime.artifacts import publish_table
from flows.runtime.environment import settings_with_database, settings_with_tracking
from flows.runtime.progress import log
from flows.runtime.steps import step
from flows.stages.inspect import inspect_month
from flows.stages.monitoring.alerts import handle_alert
from flows.stages.promote import promote_version
from monitoring.audit.reading.sample import parse_share
from training.features.datasets.dataset import build_training_set, newest_labelled
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion


@step("train-version")
def train_version(
    use_case: str,
    as_of: datetime,
    known_at: datetime | None,
    estimator: str | None,
    engine: str | None = None,
    share: float | None = None,
) -> ModelVersion:
    """Builds the training set, fits, evaluates and registers a new version."""
    settings, problem = with_engine(settings_with_database(), engine), load(use_case)
    problem = problem.sampled(share) if share else problem
    service = problem.estimator(estimator).feature_service
    log.info("training set as of %s", moment_text(as_of))
    training_set = build_training_set(
        settings, problem, as_of, known_at=known_at, feature_service=service, from_lake=True
    )
    log.info("fitting on %d rows", len(training_set.frame))
    trained = train(settings, problem, training_set, estimator=estimator)
    log.info("evaluating run %s", trained.run_id)
    return register(settings, evaluate(settings, trained))


@emits_lineage("retrain", of_retrain)
def retrain(
    use_case: str | None = None,
    as_of: Moment | None = None,
    known_at: Moment | None = None,
    estimator: str | None = None,
    promotion: bool = True,
    alert: UUID | None = None,
    engine: EngineName | None = None,
    sample: str | None = None,
) -> dict[str, Any]:
    """Trains as of a moment (default: the newest with labels), registers, and promotes through the gate.

    The training set is built by `engine` (default: that of the settings) of a `sample` of the entities, as 5% (default:
    that of the use case). Because of an `alert` it does so only if nobody else does and there is reason to, which the
    result says; what came of it is recorded with the alert. Raises InspectionError if the data checks find errors that
    the use case has not acknowledged, DataError for no share.
    """
    use_case = use_case or default_name()
    share = parse_share(sample) if sample else None

    def train_and_promote() -> dict[str, Any]:
        return _retrain(use_case, as_of, known_at, estimator, promotion, engine, share)

    return handle_alert(use_case, alert, train_and_promote) if alert else train_and_promote()


def _retrain(
    use_case: str,
    as_of: datetime | None,
    known_at: datetime | None,
    estimator: str | None,
    promotion: bool,
    engine: EngineName | None,
    share: float | None,
) -> dict[str, Any]:
    settings = settings_with_tracking()
    moment = as_of or newest_labelled(settings, load(use_case), known_at)
    checks = inspect_month(use_case, moment, known_at)
    version = train_version(use_case, moment, known_at, estimator, engine, share)
    outcome = promote_version(use_case, version.version, known_at) if promotion else None
    metrics = [{"metric": name, "value": value} for name, value in version.metrics.items()]
    publish_table("evaluation", metrics, f"Metrics of {version.name} version {version.version}")
    return {
        "inspection": checks,
        "version": asdict(version),
        "promotion": asdict(outcome) if outcome else None,
    }
