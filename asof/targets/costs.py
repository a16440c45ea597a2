"""What answers cost: a matrix of true classes (rows) and answers (columns). A gain is a negative cost."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asof.errors import ConfigurationError

Floats = NDArray[np.float64]
CostMatrix = tuple[tuple[float, ...], ...]


def check_costs(costs: CostMatrix, classes: Sequence[str]) -> None:
    """Raises ConfigurationError for a matrix of another shape, a cost that is not finite, and a wrong answer that is
    cheaper than the right one.
    """
    count = len(classes)
    try:
        matrix = np.array(costs, dtype=np.float64)
    except (ValueError, TypeError):  # rows of several lengths, or text
        matrix = np.empty(0)
    if matrix.shape != (count, count):
        raise ConfigurationError(
            f"The costs must be {count} rows (true classes) of {count} numbers (answers), in the order "
            f"{', '.join(classes)}. Change the matrix."
        )
    cheaper = matrix < matrix.diagonal()[:, None]
    for fault, reason in ((~np.isfinite(matrix), "must be finite"), (cheaper, "is below that of the right answer")):
        if fault.any():
            true, answer = (int(code) for code in np.argwhere(fault)[0])
            raise ConfigurationError(
                f"The cost {matrix[true, answer]:g} of the answer {classes[answer]!r} where {classes[true]!r} is true "
                f"{reason}: rows are true classes, columns answers. Correct it."
            )
    if (matrix == matrix.diagonal()[:, None]).all():
        raise ConfigurationError("Every answer costs the same. Leave the costs out, or correct them.")


def expected_costs(probabilities: Floats, costs: CostMatrix) -> Floats:
    """The expected cost of each answer, shape (rows, classes) as the probabilities.

    Summed class by class: a row has the same costs alone and among others, to the last digit.
    """
    total = np.zeros_like(probabilities)
    for code, row in enumerate(costs):
        total += probabilities[:, code, None] * np.array(row, dtype=np.float64)
    return total
