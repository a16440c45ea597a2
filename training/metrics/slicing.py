"""Parts of rows by the values of one column, as `column=bin`."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.metrics.binning import Bins


def slices_of(bins: Mapping[str, Bins], columns: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The name of each slice and which rows, shape (rows,), are in it; without those that have none or all.

    `columns` are the values, of numbers as float64, of text as objects.
    """
    for column, each in bins.items():
        codes = each.codes(columns[column])
        for place, name in enumerate(each.names):
            if 0 < (members := codes == place).sum() < codes.size:
                yield f"{column}={name}", members
