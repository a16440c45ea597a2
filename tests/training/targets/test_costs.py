"""A use case that states what wrong answers cost: threshold, metrics, card and plot."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asof.errors import ConfigurationError
from asof.targets import Binary, Costs
from asof.use_case import Estimator
from tests.kits.models.training import made_up_set, regression, small_use_case
from training.models.evaluation.evaluate import figures_of
from training.models.evaluation.model_card import model_card
from training.models.fitting.fit import FittedModel, divide, fit_model
from training.models.fitting.train import TrainedModel

ROWS = made_up_set(600)
CLASSES = ("stays", "leaves")


def fitted(costs: Costs | None) -> FittedModel:
    use_case = small_use_case("costly", default=Estimator("small_v1", regression, "a regression"))
    return fit_model(divide(replace(use_case, target=Binary(CLASSES, costs=costs)), ROWS), random_state=0)


@pytest.fixture(scope="module")
def dear() -> FittedModel:
    return fitted(Costs(missed=9, false_alarm=1))


def test_a_dear_miss_lowers_the_threshold_and_a_dear_alarm_raises_it(dear: FittedModel) -> None:
    cautious = fitted(Costs(missed=1, false_alarm=9)).facts.threshold
    assert dear.facts.threshold is not None
    assert cautious is not None
    assert dear.facts.threshold < 0.3 < 0.6 < cautious


def test_the_held_out_cost_is_that_of_the_answers_and_beats_answering_all_alike(dear: FittedModel) -> None:
    figures = figures_of(dear)
    labels, answers = dear.held_out.labels, figures.predictions >= (dear.facts.threshold or 0)
    cost = np.where(labels == 1, 9 * ~answers, 1 * answers).mean()
    assert figures.metrics["cost"] == pytest.approx(cost)
    assert cost < min(figures.metrics["cost_all_positive"], figures.metrics["cost_none_positive"])


def test_the_card_says_what_answers_cost_and_draws_the_curve(dear: FittedModel) -> None:
    figures, rules = figures_of(dear), dear.rules
    pictures = rules.pictures(dear.held_out.labels, figures.predictions, dear.facts.output, figures.metrics)
    trained: Any = TrainedModel(**vars(dear), run_id="r", model_uri="m")
    importance = dict.fromkeys(dear.held_out.features.columns, 0.0)
    card = model_card(trained, figures.metrics, importance, ablations=(), pictures=pictures, descriptions={})
    assert "least expected cost" in card
    assert "A missed leaves costs 9, a false alarm 1." in card
    assert 'alt="cost"' in card
    plain = fitted(None)
    assert "cost" not in plain.rules.pictures(
        plain.held_out.labels, figures.predictions, plain.facts.output, figures.metrics
    )


@pytest.mark.parametrize("costs", [(0, 1), (1, -1), (float("nan"), 1), (1, float("inf"))])
def test_costs_that_are_none_are_refused(costs: tuple[float, float]) -> None:
    with pytest.raises(ConfigurationError, match="a wrong answer cost more than the right one"):
        Costs(*costs)
