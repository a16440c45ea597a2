"""What a use case predicts, and what the numbers of a fitted model mean.

`Binary`, `Multiclass` and `Regression` are the targets of use cases. Each has an output, which belongs to a fitted
model: it reads predictions from an estimator or a graph, checks and compares them, and makes the score for `respond`.
Predictions are of float64, shape (rows,) or (rows, classes). What only training asks of a target is `training.targets`.
"""

from asof.extracts.schema import Column, Kind
from asof.targets.binary import AT_HALF, FALSE_AND_TRUE, Binary, BinaryOutput, Costs, Score
from asof.targets.multiclass import ClassScore, Multiclass, MulticlassOutput
from asof.targets.output import TOLERANCE, Output, Prediction
from asof.targets.regression import Regression, RegressionOutput, ValueScore

Target = Binary | Multiclass | Regression


def target_of(column: Column) -> Target:
    """The target that a raw column of labels can have; of a number the unit is not known."""
    match column.kind:
        case Kind.BOOLEAN:
            return FALSE_AND_TRUE
        case Kind.TEXT:
            return Multiclass(column.allowed)
        case _:
            return Regression("")


__all__ = [
    "AT_HALF",
    "FALSE_AND_TRUE",
    "TOLERANCE",
    "Binary",
    "BinaryOutput",
    "ClassScore",
    "Costs",
    "Multiclass",
    "MulticlassOutput",
    "Output",
    "Prediction",
    "Regression",
    "RegressionOutput",
    "Score",
    "Target",
    "ValueScore",
    "target_of",
]
