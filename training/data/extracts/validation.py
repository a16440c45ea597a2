"""The text cells of one file -> CheckedTable: typed values, and one finding for each rule that is broken.

Two pandera schemas are derived from the RawTable. The first validates the text: empty cells, kinds, unique ids, known
ids. The second validates the typed rows that were parsed completely: ranges, allowed values, rules across columns.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow as arrow
import pyarrow.compute as compute
from numpy.typing import NDArray
from pandera.config import ValidationDepth, config_context

from asof.extract_schema import Column, Kind, RawTable, Rule
from asof.features import entity_key
from training.data.extracts.cell_types import KIND_RULES, parse_cells
from training.data.extracts.csv_file import FIRST_DATA_ROW, rows_text
from training.data.extracts.known_ids import KnownIds

PANDAS_TYPES = {
    arrow.string(): pd.StringDtype("pyarrow"),
    arrow.int64(): pd.Int64Dtype(),
    arrow.bool_(): pd.BooleanDtype(),
}


@dataclass(frozen=True)
class CheckedTable:
    """The typed rows in file order, and the findings; the values are valid only if there are no findings."""

    values: arrow.Table
    findings: tuple[str, ...]


def check_table(cells: arrow.Table, table: RawTable, known: KnownIds | None) -> CheckedTable:
    """Parses and validates every row. The first column is the id, which must be among `known` unless that is None."""
    values = arrow.table({column.name: parse_cells(cells[column.name], column.kind) for column in table.columns})
    entity, *others = table.columns
    of_text = {entity.name: _id_checks(entity, known)} | {column.name: _text_checks(column) for column in others}
    of_values = {column.name: _value_checks(column) for column in table.columns}
    findings = [
        *_findings(_frame(cells), of_text),
        *_findings(_frame(values)[_parsed_rows(cells, values, table)], of_values, table.rules),
    ]
    return CheckedTable(values, tuple(f"{table.name}.csv: {finding}" for finding in findings))


def _frame(table: arrow.Table) -> pd.DataFrame:
    """As pandas, with the types that `asof.extract_schema` documents for its rules."""
    rows: pd.DataFrame = table.to_pandas(types_mapper=PANDAS_TYPES.get, date_as_object=False)
    return rows


def _parsed_rows(cells: arrow.Table, values: arrow.Table, table: RawTable) -> NDArray[np.bool_]:
    """n booleans: whether every cell of the row is of its kind, or null where that is allowed."""
    parsed = np.ones(cells.num_rows, dtype=np.bool_)
    for column in table.columns:
        may_be_null = compute.and_(compute.is_null(cells[column.name]), column.nullable)
        parsed &= compute.or_(compute.is_valid(values[column.name]), may_be_null).to_numpy()
    return parsed


def _text_checks(column: Column) -> list[pa.Check]:
    def is_of_kind(text: "pd.Series[str]") -> "pd.Series[bool]":
        return _series(parse_cells(arrow.chunked_array(arrow.array(text)), column.kind).is_valid(), text)

    checks = [_check(KIND_RULES[column.kind], is_of_kind)]
    if not column.nullable:
        checks.append(_check("must not be empty", lambda text: text.notna(), ignore_na=False))
    return checks


def _id_checks(entity: Column, known: KnownIds | None) -> list[pa.Check]:
    checks = [*_text_checks(entity), _check("must be unique in the file", lambda ids: ~ids.duplicated(keep=False))]
    if entity.kind is Kind.TEXT:
        checks[0] = _check(f"must be an id: {entity_key.RULE}", _are_ids)
    if known is not None:
        of_known = partial(compute.is_in, value_set=known.ids)
        checks.append(_check(f"must be {known.what}", lambda ids: _series(of_known(arrow.array(ids)), ids)))
    return checks


def _are_ids(texts: "pd.Series[str]") -> "pd.Series[bool]":
    plain = compute.match_substring_regex(arrow.array(texts), entity_key.ASCII_KEY)
    good = _series(plain, texts).to_numpy(bool, copy=True)
    for row in np.flatnonzero(~good):
        good[row] = entity_key.fault(texts.iloc[row]) is None
    return pd.Series(good, index=texts.index)


def _series(mask: arrow.Array | arrow.ChunkedArray, like: "pd.Series[str]") -> "pd.Series[bool]":
    return pd.Series(mask.to_numpy(zero_copy_only=False), index=like.index)


def _value_checks(column: Column) -> list[pa.Check]:
    checks = []
    if column.minimum is not None:
        checks.append(_check(f"must be at least {column.minimum:,}", lambda values: values.ge(column.minimum)))
    if column.maximum is not None:
        checks.append(_check(f"must be at most {column.maximum:,}", lambda values: values.le(column.maximum)))
    if column.allowed:
        words = ", ".join(repr(word) for word in column.allowed)
        checks.append(_check(f"must be one of {words}", lambda values: values.isin(column.allowed)))
    return checks


def _rule_check(rule: Rule) -> pa.Check:
    # Unlike a range, a rule is applied to nulls too; where its result is null, it does not hold.
    def holds(rows: pd.DataFrame) -> "pd.Series[bool]":
        return rule.holds(rows).astype("boolean").fillna(value=False)

    return _check(rule.text, holds, ignore_na=False, title=", ".join(rule.columns))


def _check(rule: str, holds: Callable[[Any], Any], **options: Any) -> pa.Check:
    # pandera makes an object for each failing cell: minutes for a column that is all wrong. The mask is enough here.
    return pa.Check(holds, error=rule, n_failure_cases=1, **options)


def _findings(rows: pd.DataFrame, checks: Mapping[str, list[pa.Check]], rules: Iterable[Rule] = ()) -> list[str]:
    columns = {name: pa.Column(checks=each, nullable=True) for name, each in checks.items()}
    schema = pa.DataFrameSchema(columns, checks=[_rule_check(rule) for rule in rules])
    try:
        # Overrides PANDERA_VALIDATION_ENABLED and PANDERA_VALIDATION_DEPTH: an unvalidated extract is never loaded.
        with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
            schema.validate(rows, lazy=True)
    except pa.errors.SchemaErrors as errors:
        return [_finding(error, rows) for error in errors.schema_errors]
    return []


def _finding(error: pa.errors.SchemaError, rows: pd.DataFrame) -> str:
    columns = error.check.title.split(", ") if error.check.title else [error.schema.name]
    where = f"column{'s' if len(columns) > 1 else ''} {', '.join(columns)}"
    if error.check_output is None:
        return f"{where}: {error.check.error}: the rule itself failed: {str(error).splitlines()[0]}"
    # The mask lacks the rows that the check ignores because their cell is null.
    failing = rows.loc[error.check_output.index[~error.check_output.astype(bool)], columns]
    numbers = failing.index.to_numpy() + FIRST_DATA_ROW
    return f"{where}: {rows_text(numbers)}: {error.check.error}; row {numbers[0]} has {_example(failing.iloc[0])}"


def _example(cells: "pd.Series[Any]") -> str:
    return ", ".join("nothing" if pd.isna(cell) else repr(str(cell)[:60]) for cell in cells)
