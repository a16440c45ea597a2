"""The figures of real models of each target, whose features come in the request, against a computation by hand."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest

from asof.settings import Settings, export
from asof.use_case import UseCase
from asof.use_cases import load
from monitoring.measuring.measure import Measured, Wanted, measure
from monitoring.records.figure import Figure, Subject, Verdict
from tests.kits.ledger.answered import keep_answers
from tests.kits.models.promotion import always
from training.features.datasets.dataset import build_training_set, newest_labelled
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.fit import predictions
from training.models.fitting.train import train
from training.release.promotion.promote import promote
from training.release.registry.register import register
from training.targets import rules_of

INSERT_OUTCOME = """
INSERT INTO ledger.outcomes (use_case, event, request, outcome, observed_at, source)
VALUES (%s, %s, %s, %s, %s, 'api')"""


class Made:
    """A use case's model, answers to all its rows in order, and their true outcomes."""

    def __init__(self, settings: Settings, use_case: UseCase) -> None:
        self.settings, self.use_case = settings, use_case
        self.training_set = build_training_set(settings, use_case, newest_labelled(settings, use_case))
        self.trained = train(settings, use_case, self.training_set)
        self.evaluation = evaluate(settings, self.trained)
        version = register(settings, self.evaluation)
        promote(settings, version, judge=always)
        frame, now = self.training_set.frame, datetime.now(UTC)
        requests = keep_answers(settings, use_case, version, frame, None)
        self.answered, labels = len(requests), frame[self.training_set.label].tolist()
        with psycopg.connect(settings.ledger_conninfo()) as connection:
            for request, label in zip(requests, labels, strict=True):
                connection.execute(INSERT_OUTCOME, (use_case.name, uuid4(), request, json.dumps(label), now))

    def measured(self) -> Measured:
        return measure(self.settings, self.use_case, Wanted({}), progress=lambda _: None)


@pytest.fixture(scope="module", params=["breast_cancer", "wine", "diabetes"])
def made(settings: Settings, request: pytest.FixtureRequest) -> Made:
    export(settings)
    return Made(settings, load(request.param))


def test_performance_is_that_of_the_predictions_and_outcomes(made: Made) -> None:
    done = made.measured()
    found = {each.metric: each for each in done.figures if each.subject == Subject.PERFORMANCE}
    side = made.training_set
    rules = rules_of(made.use_case.target)
    expected = rules.estimates(side.labels, predictions(made.trained.model, side))
    for name, estimate in expected.items():
        figure = found[name]
        assert (figure.value, figure.low, figure.high) == pytest.approx((estimate.value, estimate.low, estimate.high))
        assert (figure.n, figure.verdict) == (len(side.frame), Verdict.OK)
        assert figure.detail["promotion"] is not None
    assert done.answers == made.answered


def test_the_rows_of_the_training_do_not_differ_from_it(made: Made) -> None:
    figures = made.measured().figures
    drift = {each.about: each for each in figures if each.subject == Subject.DRIFT}
    assert [*drift] == [*made.trained.facts.contract.names]
    for each in drift.values():
        assert each.value == pytest.approx(0, abs=1e-9)
        assert sum(each.detail["observed"]) == pytest.approx(1)
    assert [each for each in figures if each.verdict == Verdict.ALARM] == []
    shares = {each.metric: each.value for each in figures if each.subject == Subject.MATURITY}
    assert shares["mature_share"] == 1.0


def test_each_target_has_its_subjects(made: Made) -> None:
    subjects = {each.subject for each in made.measured().figures}
    always_there = {Subject.VOLUME, Subject.MATURITY, Subject.DRIFT, Subject.JOINT_SHIFT, Subject.SCORE_SHIFT}
    of_probabilities = {Subject.ESTIMATED, Subject.CALIBRATION} if made.use_case.target.classes else set()
    assert subjects == always_there | of_probabilities | {Subject.PERFORMANCE}


def test_a_window_counts_each_value_once(made: Made) -> None:
    drift: list[Figure] = [each for each in made.measured().figures if each.subject == Subject.DRIFT]
    assert {each.n for each in drift} == {made.answered}
    assert np.isfinite([each.value or 0 for each in drift]).all()
    assert json.loads(json.dumps([dict(each.detail) for each in drift]))


def test_without_a_reference_performance_is_told_and_shifts_are_not(made: Made, monkeypatch: Any) -> None:
    monkeypatch.setattr("monitoring.measuring.training.reference_of", lambda *_: None)
    figures = made.measured().figures
    subjects = {each.subject for each in figures}
    assert not subjects & {Subject.DRIFT, Subject.SCORE_SHIFT, Subject.SLICE, Subject.ESTIMATED}
    headline = rules_of(made.use_case.target).headline.metric
    (figure,) = [each for each in figures if (each.subject, each.metric) == (Subject.PERFORMANCE, headline)]
    metrics = made.evaluation.metrics
    assert figure.detail["promotion"] == tuple(metrics[f"{headline}{end}"] for end in ("", "_low", "_high"))
