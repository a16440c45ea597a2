"""The rows that a model was trained on, and those built now -> Differences, cell by cell."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asof.features.join_keys import Entity
from training.features.datasets.training_set import TrainingSet

MAX_LISTED = 20


@dataclass(frozen=True)
class Difference:
    """One cell that differs; None is a missing value. `entity` is as in Python, or in JSON (`JoinKeys.members`).

    For a row that is gone or new only the label's cell is listed, as None now or None then.
    """

    entity: Any
    column: str
    then: Any
    now: Any


@dataclass(frozen=True)
class Differences:
    """Counts of rows that differ and, for those on both sides, of cells by column; the first by entity and column."""

    rows_gone: int
    rows_new: int
    rows_changed: int
    cells_changed: Mapping[str, int]
    first: tuple[Difference, ...]


def compare_rows(then: pd.DataFrame, now: TrainingSet) -> Differences:
    """`then` is a canonical frame (`training.features.datasets.training_set`); columns of only one side are ignored.

    Floats are compared bit by bit, as in the rows' digest.
    """
    keys, label = [*now.contract.keys.names], now.label
    old, new = then.set_index(keys), now.frame.set_index(keys)
    shared = old.index.intersection(new.index)
    ours, theirs = (side.take(side.index.get_indexer(shared)) for side in (old, new))
    differ = pd.DataFrame({name: _differ(ours[name], theirs[name]) for name in new if name in old}, index=shared)
    changed = differ.loc[differ.any(axis="columns")]
    return Differences(
        rows_gone=len(old.index.difference(shared)),
        rows_new=len(new.index.difference(shared)),
        rows_changed=len(changed),
        cells_changed={str(name): int(count) for name, count in changed.sum().items() if count},
        first=tuple(islice(_listed(old, new, changed, label), MAX_LISTED)),
    )


def _differ(old: "pd.Series[Any]", new: "pd.Series[Any]") -> NDArray[np.bool_]:
    """Whether each of n cells differs: n booleans."""
    absent = (old.isna() | new.isna()).to_numpy()
    one_sided = (old.isna() ^ new.isna()).to_numpy()
    if old.dtype == new.dtype == np.float64:
        unequal = old.to_numpy().view(np.int64) != new.to_numpy().view(np.int64)
    else:
        same_type = old.dtype == new.dtype
        either = (old != new) if same_type else (old.astype(object) != new.astype(object))
        unequal = either.fillna(value=False).to_numpy(dtype=bool)
    result: NDArray[np.bool_] = np.where(absent, one_sided, unequal)
    return result


def _listed(old: pd.DataFrame, new: pd.DataFrame, changed: pd.DataFrame, label: str) -> Iterator[Difference]:
    """Every difference, by entity and column."""
    for entity in old.index.symmetric_difference(new.index).union(changed.index):
        columns = [name for name in changed if changed.at[entity, name]] if entity in changed.index else [label]
        for column in columns:
            then, now = (_plain(side.at[entity, column]) if entity in side.index else None for side in (old, new))
            yield Difference(_entity(entity), str(column), then, now)


def _entity(index: Any) -> Entity:
    return tuple(map(_plain, index)) if isinstance(index, tuple) else _plain(index)


def _plain(value: Any) -> Any:
    """A cell as a Python value; None if it is missing."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
