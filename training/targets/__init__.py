"""What training, evaluation, gate and scoring ask of a target: its labels, metrics, plots, criteria and columns."""

from asof.targets import Binary, Multiclass, Regression, Target
from training.targets.binary import BinaryRules
from training.targets.multiclass import MulticlassRules
from training.targets.regression import RegressionRules
from training.targets.rules import Rules


def rules_of(target: Target) -> Rules:
    """The rules of a use case's target."""
    match target:
        case Binary():
            return BinaryRules(target)
        case Multiclass():
            return MulticlassRules(target)
        case Regression():
            return RegressionRules(target)
