"""LinearSum: contributions of the columns of a weighted sum."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LinearSum:
    """`start` plus the weighted sum of the columns; weights, and means of the training rows, of shape (columns,).

    A contribution is the weight times the distance from the mean: the Shapley value where absent columns are replaced
    by those of independent training rows (Lundberg and Lee, NIPS 2017, corollary 1).
    """

    weights: Floats
    means: Floats
    start: float
    nodes: ClassVar[int] = 0
    size: ClassVar[int] = 0

    @property
    def base(self) -> float:
        """The score of the mean row."""
        return float(self.start + self.weights @ self.means)

    def contributions(self, numbers: Floats, until: float = np.inf) -> Floats:  # noqa: ARG002 - as of TreeSum
        """That of each column in each row, both of shape (rows, columns)."""
        return (numbers - self.means) * self.weights
