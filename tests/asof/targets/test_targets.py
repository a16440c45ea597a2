"""Targets and outputs: what is refused, what a score says, and facts of models from before there were targets."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asof.errors import ConfigurationError, ModelError, PredictionOutOfRange
from asof.extracts.schema import Column, Kind
from asof.model_facts import ModelFacts
from asof.targets import (
    Binary,
    BinaryOutput,
    ClassScore,
    Costs,
    Multiclass,
    MulticlassOutput,
    Output,
    Regression,
    RegressionOutput,
    target_of,
)
from tests.kits.models.training import SMALL
from tests.kits.service.serving import facts_of

LEVELS = MulticlassOutput(("low", "middle", "high"))
HOURS = RegressionOutput("hours", margin=5.0, coverage=0.9, minimum=0.0, maximum=24.0)


@pytest.mark.parametrize(
    ("output", "prediction", "error"),
    [
        (BinaryOutput(0.5), 1.1, ArithmeticError),
        (BinaryOutput(0.5), float("nan"), ArithmeticError),
        (BinaryOutput(0.5), [0.5, 0.5], ArithmeticError),
        (LEVELS, [0.5, 0.6, -0.1], ArithmeticError),
        (LEVELS, [0.5, 0.4, 0.0], ArithmeticError),
        (LEVELS, [0.5, float("nan"), 0.5], ArithmeticError),
        (LEVELS, 0.5, ArithmeticError),
        (HOURS, -0.1, PredictionOutOfRange),
        (HOURS, 24.5, PredictionOutOfRange),
        (HOURS, float("nan"), PredictionOutOfRange),
        (RegressionOutput("hours", 1.0, 0.9), float("inf"), PredictionOutOfRange),
    ],
)
def test_an_impossible_prediction_is_refused(output: Output, prediction: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        output.checked(prediction)


@pytest.mark.parametrize(("output", "prediction"), [(BinaryOutput(0.5), 1.0), (LEVELS, [0.2, 0.3, 0.5]), (HOURS, 24.0)])
def test_a_possible_prediction_is_handed_on(output: Output, prediction: Any) -> None:
    assert output.checked(prediction) == prediction


def test_an_interval_ends_where_the_range_does() -> None:
    assert (HOURS.score(22.0).low, HOURS.score(22.0).high) == (17.0, 24.0)
    assert (HOURS.score(1.5).low, HOURS.score(1.5).high) == (0.0, 6.5)


def test_the_class_is_the_first_of_the_most_probable() -> None:
    assert LEVELS.score([0.4, 0.4, 0.2]) == ClassScore({"low": 0.4, "middle": 0.4, "high": 0.2})
    assert LEVELS.score([0.2, 0.4, 0.4]).class_name == "middle"


def test_answers_that_differ_are_counted() -> None:
    ours, theirs = np.array([[0.2, 0.5, 0.3], [0.1, 0.2, 0.7]]), np.array([[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]])
    assert LEVELS.flipped(ours, theirs) == 1
    assert LEVELS.differences(ours, theirs).tolist() == pytest.approx([0.3, 0.0])
    assert BinaryOutput(0.5).flipped(np.array([0.5, 0.4]), np.array([0.499, 0.3])) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Multiclass(("a",)), "two or more different names"),
        (lambda: Multiclass(("a", "b", "a")), "two or more different names"),
        (lambda: Multiclass(("a", "")), "two or more different names"),
        (lambda: Regression("h", minimum=3, maximum=3), "No label is from 3 to 3"),
        (lambda: Regression("h", coverage=90), "coverage 90 must be between 0 and 1"),
    ],
)
def test_a_target_that_is_none_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


CAREFUL = MulticlassOutput(LEVELS.classes, ((0, 1, 2), (3, 0, 1), (10, 5, 0)))
"""To answer `low` where `high` is true costs ten times as much as to answer `middle` where `low` is."""


def test_with_costs_the_class_is_that_of_the_least_expected_cost_and_probabilities_stay() -> None:
    found = CAREFUL.score([0.7, 0.2, 0.1])
    assert (LEVELS.score([0.7, 0.2, 0.1]).class_name, found.class_name) == ("low", "middle")
    assert found.probabilities == {"low": 0.7, "middle": 0.2, "high": 0.1}
    assert CAREFUL.flipped(np.array([[0.7, 0.2, 0.1]]), np.array([[0.97, 0.02, 0.01]])) == 1


def test_one_row_and_many_rows_are_answered_alike_also_where_costs_tie() -> None:
    shares = np.random.default_rng(0).integers(1, 6, (400, 3)).astype(float)
    rows = shares / shares.sum(axis=1, keepdims=True)
    for output in (LEVELS, CAREFUL, MulticlassOutput(LEVELS.classes, ((0, 1, 1), (1, 0, 1), (1, 1, 0)))):
        answers = [LEVELS.classes[code] for code in output.answers(rows)]
        assert answers == [output.score(row).class_name for row in rows.tolist()]
        assert answers[::3] == [LEVELS.classes[code] for code in output.answers(rows[::3])]


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        (((0, 1), (1, 0)), "must be 3 rows .* of 3 numbers .* low, middle, high"),
        (((0, 1, 1), (1, 0, 1), (1, 1)), "must be 3 rows"),
        (("010", "100", "110"), "must be 3 rows"),
        (((0, 1, 1), (1, 0, 1), (1, 1, "free")), "must be 3 rows"),
        (((0, 1, 1), (1, 0, float("nan")), (1, 1, 0)), "cost nan of the answer 'high' where 'middle' is true"),
        (((0, 1, 1), (1, 0, float("inf")), (1, 1, 0)), "must be finite"),
        (((0, 1, 1), (1, 2, 1), (1, 1, 0)), "cost 1 of the answer 'low' where 'middle' is true is below that of the"),
        (((0, 0, 0), (1, 1, 1), (2, 2, 2)), "Every answer costs the same"),
    ],
)
def test_costs_that_decide_nothing_sensible_are_refused(costs: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Multiclass(LEVELS.classes, costs)


def test_a_right_answer_may_gain_something() -> None:
    assert Multiclass(LEVELS.classes, ((-5, 0, 1), (1, 0, 1), (1, 1, -2))).costs is not None
    assert Costs(missed=0, false_alarm=1, true_positive=-3).matrix.tolist() == [[0, 1], [0, -3]]


def test_a_target_follows_from_a_column_of_labels() -> None:
    assert target_of(Column("left", Kind.BOOLEAN)) == Binary(("False", "True"))
    assert target_of(Column("level", Kind.TEXT, allowed=("a", "b"))) == Multiclass(("a", "b"))
    assert target_of(Column("hours", Kind.NUMBER)).label_type == "Float64"


def test_facts_of_before_are_of_two_classes_and_those_of_another_target_come_back_the_same() -> None:
    facts = facts_of(SMALL)
    old = {name: value for name, value in facts.to_dict().items() if name != "target"}
    assert ModelFacts.from_dict(old) == facts
    assert facts.output == BinaryOutput(facts.threshold or 0)
    for output in (LEVELS, HOURS, CAREFUL):
        made = replace(facts, **output.facts())
        assert ModelFacts.from_dict(made.to_dict()).output == output
        with pytest.raises(ModelError, match=r"[Tt]rain again"):
            Binary(("a", "b")).check_output(made.output)
