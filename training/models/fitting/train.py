"""TrainingSet -> TrainedModel: fitted on the training side and logged to MLflow as a run."""

from dataclasses import dataclass

from asof.settings import Settings
from asof.use_case import UseCase
from training.features.datasets.training_set import TrainingSet
from training.models.fitting.fit import FittedModel, check_estimator, divide, fit_model
from training.models.fitting.logged_rows import log_rows
from training.models.fitting.run_record import record_definition, record_model, record_run, record_search
from training.tracking.client import tracked_run


@dataclass(frozen=True)
class TrainedModel(FittedModel):
    """A fitted model, its run and its URI in MLflow."""

    run_id: str
    model_uri: str


def train(
    settings: Settings,
    use_case: UseCase,
    training_set: TrainingSet,
    *,
    estimator: str | None = None,
    random_state: int = 42,
) -> TrainedModel:
    """Fits the estimator (default: the use case's) on the training side, and logs it as a new run.

    Raises ConfigurationError for an unknown estimator or an unreachable MLflow, TrainingSetError as
    `training.models.fitting.fit.divide` does, and ModelError for an estimator that the service could not serve.
    """
    sides = divide(use_case, training_set, estimator=estimator)
    check_estimator(sides, random_state=random_state)
    about = f"{use_case.title}: the runs that trained {use_case.model_name} (use case {use_case.name})."
    with tracked_run(settings, use_case.model_name, sides.estimator, about=about) as (client, run_id):
        fitted = fit_model(sides, random_state=random_state)
        record_run(client, run_id, fitted.facts, model=fitted.model)
        record_definition(client, run_id, training_set.definition)
        log_rows(client, run_id, training_set, name=f"{use_case.name} as of {training_set.as_of.date()}")
        record_search(client, run_id, fitted.search)
        model_uri = record_model(fitted.model, fitted.facts, example=fitted.held_out.features.head(3))
    return TrainedModel(**vars(fitted), run_id=run_id, model_uri=model_uri)
