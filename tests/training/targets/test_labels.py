"""Labels that are not of the target: one clause each, which says what they hold."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from asof.errors import TrainingSetError
from asof.model_facts import Split
from asof.targets import Binary, Multiclass, Regression, Target
from training.features.datasets.split import held_out
from training.targets import rules_of

LEAVES = Binary(("stays", "leaves"))
LEVELS = Multiclass(("low", "middle", "high"))
HOURS = Regression("hours", minimum=0.0)


@pytest.mark.parametrize(
    ("target", "labels", "fault"),
    [
        (LEAVES, [True, False, "yes"], "hold 'yes', and must be False or True"),
        (LEAVES, [True, False, None], "hold None, and must be False or True"),
        (LEAVES, [True, False, 2], "hold 2, and must be False or True"),
        (LEAVES, [1.0, 0.0, np.nan], "hold nan, and must be False or True"),
        (LEAVES, [False, False], "must be both False and True"),
        (LEAVES, [True, False], ""),
        (LEAVES, [1, 0], ""),
        (LEVELS, ["low", "none"], "hold 'none', and the classes are low, middle, high"),
        (LEVELS, ["low", "Low"], "hold 'Low', and the classes are low, middle, high"),
        (LEVELS, ["low", np.nan], "hold nan, and the classes are low, middle, high"),
        (LEVELS, [0, 1], "hold 0, and the classes are low, middle, high"),
        (LEVELS, ["low", "low"], "are all the same, and a model needs several classes"),
        (LEVELS, ["low", "high"], ""),
        (HOURS, [1.0, np.nan], "hold nan, and must be finite numbers"),
        (HOURS, [1.0, -np.inf], "hold -inf, and must be finite numbers"),
        (HOURS, ["1.5", "2"], "are object, such as '1.5', and must be numbers"),
        (HOURS, [True, False], "are bool, such as True, and must be numbers"),
        (HOURS, [1.0, -2.0], "hold -2, and must be from 0 to inf"),
        (HOURS, [7.0, 7.0], "are all 7, and a model needs different ones"),
        (HOURS, [], "are missing"),
        (HOURS, [1, 2], ""),
    ],
)
def test_labels_that_are_not_of_the_target_are_named(target: Target, labels: list[Any], fault: str) -> None:
    assert rules_of(target).fault(pd.Series(labels)) == fault


@pytest.mark.parametrize("target", [LEAVES, LEVELS])
def test_a_class_with_one_row_cannot_be_on_both_sides(target: Target) -> None:
    labels = np.array([0] * 40 + [1])
    with pytest.raises(TrainingSetError, match="41 rows cannot be split with every label on both sides"):
        held_out(pd.Series(range(41)), rules_of(target).strata(labels), Split(0.3, seed=1))
    assert "needed, one for each fold" in rules_of(target).fold_fault(labels)


def test_a_side_whose_numbers_are_all_the_same_is_refused() -> None:
    rules = rules_of(HOURS)
    assert rules.side_fault(np.array([3.0, 3.0])) == "2 complete rows and not two different labels"
    assert rules.side_fault(np.array([3.0, 4.0])) == ""
