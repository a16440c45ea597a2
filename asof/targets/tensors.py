"""A target's predictions as named tensors, for protocols that know no other answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asof.targets.binary import Binary
from asof.targets.multiclass import Multiclass
from asof.targets.regression import Regression


@dataclass(frozen=True)
class Tensor:
    """One tensor: its name, its datatype (BYTES or FP64), the shape of one row, and one row's values of a score."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Callable[[Any], list[Any]]


def tensors(target: Binary | Multiclass | Regression) -> tuple[Tensor, ...]:
    """The tensors of what `Output.score` returns for models of the target."""
    match target:
        case Binary(classes=classes):
            return (
                Tensor("probability", "FP64", (), lambda score: [score.probability]),
                Tensor("label", "BYTES", (), lambda score: [classes[score.positive]]),
            )
        case Multiclass(classes=classes):
            return (
                Tensor("class", "BYTES", (), lambda score: [score.class_name]),
                Tensor("probabilities", "FP64", (len(classes),), lambda score: [*score.probabilities.values()]),
            )
        case Regression():
            return (
                Tensor("value", "FP64", (), lambda score: [score.value]),
                Tensor("interval", "FP64", (2,), lambda score: [score.low, score.high]),
            )
