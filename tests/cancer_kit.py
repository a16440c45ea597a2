"""Breast cancer, trained, registered and promoted in a database of a test's own."""

from dataclasses import dataclass

from asof.settings import Settings
from asof.use_cases import load
from tests.promotion_kit import by_contest
from training.dataset import build_training_set, newest_labelled
from training.evaluate import Evaluation, evaluate
from training.promote import Promotion, promote
from training.register import ModelVersion, register
from training.train import TrainedModel, train
from training.training_set import TrainingSet

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
