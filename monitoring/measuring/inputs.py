"""The values behind answers: counted in the bins of the training chunk by chunk, and a sample of their rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as arrow
from numpy.typing import NDArray
from pyarrow import compute

from training.metrics.binning import Binned, CategoryBins, Counts

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 2000
"""As many as `monitoring.statistics.joint_shift` looks at."""
ANSWER = ["request", "item"]
"""The columns that name an answer."""
NO_ITEM = -1


@dataclass(frozen=True)
class Inputs:
    """How many values of each feature are in each bin; `sample` are the rows with the lowest ranks.

    `kept` are the columns of all rows that were asked for, with those that name an answer. Both are None without rows.
    """

    counts: Mapping[str, Counts]
    sample: arrow.Table | None = None
    kept: arrow.Table | None = None

    def of(self, answers: "pd.DataFrame") -> Mapping[str, NDArray[Any]]:
        """The kept values of answers, shape (rows,) each; null where an answer has none."""
        if self.kept is None:
            return {}
        import pandas as pd

        ours, theirs = (
            pd.MultiIndex.from_arrays([each["request"], each["item"].fillna(NO_ITEM).astype("int64")])
            for each in (answers, self.kept.select(ANSWER).to_pandas())
        )
        places = theirs.get_indexer(ours)
        rows = arrow.array(places, mask=places < 0)
        return {name: column_values(self.kept[name].take(rows)) for name in self.kept.column_names[len(ANSWER) :]}


def count_inputs(
    tables: Iterable[arrow.Table], features: Mapping[str, Binned], *, keep: Sequence[str] = (), rows: int = SAMPLE_ROWS
) -> Inputs:
    """Counts the tables of `stream_values` in the bins of the features that they have."""
    counts: dict[str, Counts] = {}
    sample: list[arrow.Table] = []
    kept: list[arrow.Table] = []
    for table in tables:
        for name in features.keys() & {*table.column_names}:
            counts[name] = counts.get(name, 0) + counted(features[name], table[name])
        sample = [_lowest(arrow.concat_tables([*sample, table]), rows)]
        if keep:
            kept.append(table.select([*ANSWER, *keep]))
    return Inputs(counts, *(arrow.concat_tables(each) if each else None for each in (sample, kept)))


def counted(binned: Binned, column: arrow.ChunkedArray) -> Counts:
    """How many values of a column are in each bin; text is counted before it becomes objects of Python."""
    bins = binned.bins
    if isinstance(bins, CategoryBins):
        values = compute.value_counts(column)
        return bins.tally({each["values"].as_py(): each["counts"].as_py() for each in values})
    return bins.count(column_values(column))


def column_values(column: arrow.ChunkedArray) -> NDArray[Any]:
    """As `asof.features.feature_contract.input_arrays` has them: numbers as float64, nulls as NaN; text as objects.

    Integers beyond 2**53 are rounded, as there.
    """
    if arrow.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    return np.asarray(compute.fill_null(column.cast(arrow.float64(), safe=False), float("nan")), dtype=np.float64)


def _lowest(table: arrow.Table, rows: int) -> arrow.Table:
    """The rows with the lowest ranks."""
    if table.num_rows <= rows:
        return table
    return table.take(compute.select_k_unstable(table, k=rows, sort_keys=[("rank", "ascending")]))
