"""The values behind answers in the bins of the training, and a sample of them: in bounded memory, chunk by chunk."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as arrow
from numpy.typing import NDArray
from pyarrow import compute

from training.metrics.binning import Binned, CategoryBins, Counts

SAMPLE_ROWS = 4000
"""Enough to tell two samples apart, and few enough for a model to be fitted in a second."""


@dataclass(frozen=True)
class Inputs:
    """How many values of each feature are in each bin; `sample` are rows with the lowest ranks."""

    counts: Mapping[str, Counts]
    sample: arrow.Table | None


def count_inputs(tables: Iterable[arrow.Table], features: Mapping[str, Binned], rows: int = SAMPLE_ROWS) -> Inputs:
    """Counts the tables of `stream_values` in the bins of the features that they have."""
    counts: dict[str, Counts] = {}
    sample: arrow.Table | None = None
    for table in tables:
        for name, binned in features.items():
            if name in table.column_names:
                counts[name] = counts.get(name, np.int64(0)) + counted(binned, table[name])
        sample = _lowest(arrow.concat_tables([table, *([sample] if sample else [])]), rows)
    return Inputs(counts, sample)


def counted(binned: Binned, column: arrow.ChunkedArray) -> Counts:
    """How many values of a column are in each bin; text is counted before it becomes objects of Python."""
    bins = binned.bins
    if isinstance(bins, CategoryBins):
        values = compute.value_counts(column)
        return bins.tally({each["values"].as_py(): each["counts"].as_py() for each in values})
    return bins.count(numbers(column))


def numbers(column: arrow.ChunkedArray) -> NDArray[np.float64]:
    """A column of numbers, nulls as NaN."""
    values: NDArray[np.float64] = compute.fill_null(column.cast(arrow.float64()), float("nan")).to_numpy()
    return values


def _lowest(table: arrow.Table, rows: int) -> arrow.Table:
    """The rows with the lowest ranks."""
    if table.num_rows <= rows:
        return table
    places = compute.select_k_unstable(table, k=rows, sort_keys=[("rank", "ascending")])
    return table.take(places)
