"""A use case that states what wrong answers cost: threshold, metrics, card and plot."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from asof.errors import ConfigurationError
from asof.features.feature_contract import FeatureContract
from asof.model_facts import ModelFacts
from asof.targets import Binary, Costs, Multiclass, MulticlassOutput
from asof.use_case import Estimator
from asof.use_cases import load
from tests.kits.models.training import made_up_set, regression, small_use_case
from training.metrics.classification import cost_curve
from training.metrics.multiclass import never_cheapest
from training.models.compilation.compile import compile_model
from training.models.evaluation.cards.model_card import model_card
from training.models.evaluation.evaluate import figures_of
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


def test_what_right_answers_gain_moves_the_threshold_and_counts_in_the_curve() -> None:
    """Ten for a positive that is acted on, one for acting: the threshold is that of a miss that costs nine."""
    acting = fitted(Costs(missed=0, false_alarm=1, true_positive=-9))
    assert acting.facts.threshold == fitted(Costs(missed=9, false_alarm=1)).facts.threshold
    labels, predicted = acting.held_out.labels, figures_of(acting).predictions
    thresholds, costs = cost_curve(labels, predicted, missed=2, false_alarm=3, true_positive=-4, true_negative=0.5)
    for place in (0, 40, -1):
        answers = (predicted >= thresholds[place]).astype(int)
        matrix = Costs(2, 3, true_positive=-4, true_negative=0.5).matrix
        assert costs[place] == pytest.approx(matrix[labels, answers].mean())


MATRIX = ((0.0, 1.0, 2.0), (3.0, 0.0, 1.0), (10.0, 5.0, 0.0))
LEVELS = Multiclass(("low", "middle", "high"), MATRIX)


def of_numbers(contract: FeatureContract, random_state: int) -> Any:
    """A regression on the numbers alone, which compiles."""
    columns = ColumnTransformer([("numbers", StandardScaler(), ["hours", "tickets"])])
    return Pipeline([("columns", columns), ("model", LogisticRegression(random_state=random_state))])


def by_level(target: Multiclass) -> FittedModel:
    """Three levels of the hours, whose order a noise hides in part."""
    hours = ROWS.frame["hours"] + np.random.default_rng(1).normal(0, 8, len(ROWS.frame))
    level = pd.cut(hours, [-np.inf, 12, 25, np.inf], labels=list(target.classes)).astype(str)
    rows = replace(ROWS, frame=ROWS.frame.assign(left=level), target=target)
    estimators = {"default": Estimator("small_v1", of_numbers, "a regression")}
    return fit_model(divide(replace(load("wine"), target=target, estimators=estimators), rows), random_state=0)


@pytest.fixture(scope="module")
def levels() -> FittedModel:
    return by_level(LEVELS)


def test_a_matrix_is_pinned_in_the_model_and_decides_its_answers_and_costs(levels: FittedModel) -> None:
    output, side = levels.facts.output, levels.held_out
    assert output == MulticlassOutput(LEVELS.classes, MATRIX)
    assert ModelFacts.from_dict(levels.facts.to_dict()).output == output
    metrics, predicted = figures_of(levels).metrics, levels.rules.predictions(levels.model, side.features)
    expected = predicted @ np.array(MATRIX)
    answers = {"cost": expected.argmin(axis=1), "cost_most_probable": predicted.argmax(axis=1)}
    for name, codes in answers.items():
        assert metrics[name] == pytest.approx(np.array(MATRIX)[side.labels, codes].mean())
        assert metrics[f"{name}_low"] < metrics[name] < metrics[f"{name}_high"]
    assert metrics["cost"] < metrics["cost_most_probable"]
    assert metrics["cost_saved"] == pytest.approx(metrics["cost_most_probable"] - metrics["cost"])
    assert metrics["accuracy"] == (answers["cost"] == side.labels).mean()


def test_a_matrix_changes_no_probability_and_the_compiled_model_answers_by_it(levels: FittedModel) -> None:
    plain, features = by_level(replace(LEVELS, costs=None)), levels.held_out.features
    predicted = levels.rules.predictions(levels.model, features)
    assert (predicted == plain.rules.predictions(plain.model, features)).all()
    output = levels.facts.output
    assert isinstance(output, MulticlassOutput)
    compiled = compile_model(levels.model, features, output)
    assert compiled.agreement.flipped == 0
    rows = compiled.runtime.predict({str(name): features[name].to_numpy() for name in features})
    answers = [output.score(row).class_name for row in rows]
    assert answers == [LEVELS.classes[code] for code in output.answers(predicted)]
    assert answers != [LEVELS.classes[code] for code in predicted.argmax(axis=1)]
    column = levels.rules.score_columns(predicted, output)["class_name"]
    assert column.to_pylist() == answers


def test_the_card_shows_the_matrix_and_what_it_saves_and_a_class_that_is_never_answered(
    levels: FittedModel, caplog: pytest.LogCaptureFixture
) -> None:
    def page(fitted: FittedModel) -> str:
        trained: Any = TrainedModel(**vars(fitted), run_id="r", model_uri="m")
        importance = dict.fromkeys(fitted.held_out.features.columns, 0.0)
        metrics = figures_of(fitted).metrics
        return model_card(trained, metrics, importance, ablations=(), pictures={}, descriptions={})

    card = page(levels)
    assert "The answer is the class of the least expected cost." in card
    assert "Cost of a row where the most probable class is answered" in card
    assert "the answer is never" not in card
    assert "never" not in caplog.text
    never = by_level(replace(LEVELS, costs=((0, 2, 1), (3, 0, 0), (10, 5, 0))))
    assert "With these costs the answer is never middle." in page(never)
    assert "the answer is never middle: no probabilities make it cheapest" in caplog.text
    assert "cost" not in figures_of(by_level(replace(LEVELS, costs=None))).metrics


@pytest.mark.parametrize(
    ("costs", "never"),
    [
        (MATRIX, []),
        (((0, 1), (1, 0)), []),
        (((0, 0), (1, 1)), [1]),  # equal columns: the first is answered
        (((0, 2, 1), (2, 0, 1), (4, 4, 1)), []),
        (((0, 2, 1), (2, 0, 1), (4, 4, 4)), [2]),  # at best as cheap as the others
        (((0, 2, 2), (2, 0, 2), (0, 0, 0)), [2]),
        (((0, 1, 1), (1, 0, 1), (1, 0, 0)), [2]),
    ],
)
def test_answers_that_no_probabilities_make_cheapest_are_found(costs: Any, never: list[int]) -> None:
    assert never_cheapest(costs) == never


@pytest.mark.parametrize("costs", [(0, 1), (1, -1), (float("nan"), 1), (1, float("inf"))])
def test_costs_that_are_none_are_refused(costs: tuple[float, float]) -> None:
    with pytest.raises(ConfigurationError, match="a wrong answer cost more than the right one"):
        Costs(*costs)
