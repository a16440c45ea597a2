"""The typed tables of one extract -> Month: one row per entity, every column as numbers; two of them -> Pair."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as arrow
from numpy.typing import NDArray

from asof.extracts.cadence import span_text
from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable
from asof.targets import target_of
from training.metrics.classification import Floats
from training.targets import rules_of
from training.targets.rules import Rules

Bools = NDArray[np.bool_]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Month:
    """`frame` has a row for each of n entities (its index: keys, or tuples of several) and a column `table.column` for
    each raw column but those of the keys.

    Text is categorical, dates are datetime64[s], all else is float64 (true is 1); missing values are NaN. `columns`
    are their columns of the schema; `label` is the label's name, None where the month has no labels. `present` has for
    each table whether an entity has a row in it, shape (n,). `labels_known` is when labels of `as_of` can be known.

    A "month" is what was extracted as of one moment; others may come each day or hour.
    """

    as_of: datetime
    frame: pd.DataFrame
    columns: Mapping[str, Column]
    label: str | None
    present: Mapping[str, Bools]
    labels_known: datetime

    def features(self, *kinds: Kind) -> list[str]:
        """The columns of these kinds (default: every kind) without the label."""
        chosen = kinds or tuple(Kind)
        return [name for name, column in self.columns.items() if column.kind in chosen and name != self.label]

    def numbers(self, name: str) -> Floats:
        """A column as float64, shape (n,): text as category codes, dates as days since 1970, NaN for missing."""
        return _numbers(self.frame[name])

    def levels(self, name: str) -> list[str]:
        """The values of a text or boolean column in the order of their codes."""
        values = self.frame[name]
        return [str(level) for level in values.cat.categories] if _is_text(values) else ["False", "True"]

    @property
    def rules(self) -> Rules:
        """The rules of its labels, by the kind of their column; call it only where there are labels."""
        return rules_of(target_of(self.columns[str(self.label)]))

    def encoded_labels(self) -> Floats:
        """The labels as the rules encode them, shape (n,); NaN where they are missing."""
        values = self.frame[str(self.label)]
        known, encoded = values.notna().to_numpy(), np.full(len(values), np.nan)
        encoded[known] = self.rules.encode(values[known])
        return encoded

    def rows_of(self, name: str) -> Bools:
        """Whether an entity has a row in the column's table, shape (n,)."""
        return self.present[table_of(name)]


@dataclass(frozen=True)
class Pair:
    """A month and the one before it; `rows_before` and `rows_after` are the row numbers of the entities in both."""

    before: Month
    after: Month
    rows_before: NDArray[np.int64]
    rows_after: NDArray[np.int64]

    @property
    def days(self) -> float:
        """Days between the months."""
        return (self.after.as_of - self.before.as_of).total_seconds() / 86_400

    @property
    def span(self) -> str:
        """The time between the months, for people."""
        return span_text(self.after.as_of - self.before.as_of)

    def features(self, *kinds: Kind) -> list[str]:
        """The columns of these kinds without the label."""
        return self.after.features(*kinds)

    def numbers(self, name: str) -> tuple[Floats, Floats]:
        """The column before and after, each in its month's order of rows; text has the same codes in both."""
        before, after = self.before.frame[name], self.after.frame[name]
        if _is_text(before):
            levels = before.cat.categories.union(after.cat.categories)
            before, after = before.cat.set_categories(levels), after.cat.set_categories(levels)
        return _numbers(before), _numbers(after)

    def shared(self, name: str) -> tuple[Floats, Floats]:
        """The column before and after, for the entities in both months, in one order."""
        before, after = self.numbers(name)
        return before[self.rows_before], after[self.rows_after]


def table_of(name: str) -> str:
    """`table` of `table.column`."""
    return name.partition(".")[0]


def pair_of(before: Month, after: Month) -> Pair:
    """Two months of one schema, the earlier first."""
    rows = before.frame.index.get_indexer(after.frame.index)
    return Pair(before, after, rows[rows >= 0].astype(np.int64), np.flatnonzero(rows >= 0))


def month_of(schema: ExtractSchema, as_of: datetime, tables: Mapping[str, Sequence[arrow.Table]]) -> Month:
    """A month of typed rows by table, in the order of deliveries: the last row of an entity is used.

    Columns of `tables` are those of `training.data.extracts.extract`; the labels may be absent or empty.
    """
    known = {table.name: table for table in schema.tables}
    if any(each.num_rows for each in tables.get(schema.labels.name, ())):
        known[schema.labels.name] = schema.labels
    parts = {name: _part(table, tables[name]) for name, table in known.items()}
    entities = parts[schema.entity_table].index.rename(", ".join(schema.keys))
    rows = {name: _keyed_as(table, schema, entities) for name, table in known.items()}
    frames = [parts[name].reindex(rows[name]).set_axis(entities).add_prefix(f"{name}.") for name in known]
    return Month(
        as_of,
        frame=pd.concat(frames, axis="columns"),
        columns={f"{name}.{column.name}": column for name, table in known.items() for column in table.value_columns},
        label=f"{schema.labels.name}.{schema.label}" if schema.labels.name in known else None,
        present={name: rows[name].isin(parts[name].index) for name in known},
        labels_known=schema.cadence.labels_known(as_of),
    )


def _part(table: RawTable, deliveries: Sequence[arrow.Table]) -> pd.DataFrame:
    rows = arrow.concat_tables(deliveries)
    keys = [rows[key.name].to_pylist() for key in table.key_columns]
    index = _index(keys[0] if len(keys) == 1 else zip(*keys, strict=True))
    frame = pd.DataFrame({column.name: _series(rows[column.name]) for column in table.value_columns}, range(len(index)))
    return frame.set_axis(index, axis="index")[~index.duplicated(keep="last")]


def _keyed_as(table: RawTable, schema: ExtractSchema, entities: "pd.Index[Any]") -> "pd.Index[Any]":
    """The key of each entity's row in a table that may have some of the keys only."""
    positions = [schema.key_columns.index(key) for key in table.key_columns]
    if len(positions) == len(schema.keys):
        return entities
    return _index(itemgetter(*positions)(entity) for entity in entities)


def _index(entities: Iterable[Any]) -> "pd.Index[Any]":
    return pd.Index(list(entities), dtype=object, tupleize_cols=False)


def _series(values: arrow.ChunkedArray) -> "pd.Series[float]":
    typed = values.cast(arrow.timestamp("s")) if arrow.types.is_date(values.type) else values
    if arrow.types.is_string(values.type):
        typed = values.combine_chunks().dictionary_encode()
    elif typed is values:
        typed = values.cast(arrow.float64(), safe=False)
    series: pd.Series[float] = typed.to_pandas()
    return series


def _is_text(values: "pd.Series[float]") -> bool:
    return isinstance(values.dtype, pd.CategoricalDtype)


def _numbers(values: "pd.Series[float]") -> Floats:
    if _is_text(values):
        codes = values.cat.codes.to_numpy(dtype=np.float64)
        return np.asarray(np.where(codes < 0, np.nan, codes))
    if values.dtype.kind == "M":
        days = values.to_numpy(dtype="datetime64[D]")
        numbers = days.astype(np.float64)
        numbers[np.isnat(days)] = np.nan
        return numbers
    return np.asarray(values, dtype=np.float64)
