"""Breast cancer, trained, registered and promoted in a database of a test's own."""

from dataclasses import dataclass

from asof.settings import Settings
from asof.use_cases import load
from tests.kits.models.promotion import by_contest
from training.features.datasets.dataset import build_training_set, newest_labelled
from training.features.datasets.training_set import TrainingSet
from training.models.evaluation.evaluate import Evaluation, evaluate
from training.models.fitting.train import TrainedModel, train
from training.release.promotion.promote import Promotion, promote
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion

CANCER = load("breast_cancer")


@dataclass(frozen=True)
class Made:
    """Everything that one run of the stages hands on."""

    training_set: TrainingSet
    trained: TrainedModel
    evaluation: Evaluation
    version: ModelVersion
    promotion: Promotion


def make(settings: Settings) -> Made:
    """Training set, fit, evaluation, registration and gate, by the code that churn goes through."""
    training_set = build_training_set(settings, CANCER, newest_labelled(settings, CANCER))
    trained = train(settings, CANCER, training_set)
    evaluation = evaluate(settings, trained)
    version = register(settings, evaluation)
    promotion = promote(settings, version, judge=by_contest(settings, version, lambda _: training_set))
    return Made(training_set, trained, evaluation, version, promotion)
