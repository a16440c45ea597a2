"""The text cells of one file -> CheckedTable: typed values, and one finding for each rule that is broken.

Two pandera schemas are derived from the RawTable. The first validates the text: empty cells, kinds, unique ids, known
ids. The second validates the typed rows that were parsed completely: ranges, allowed values, rules across columns.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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
from training.data.extracts.cell_types import KIND_RULES, parse_cells, parse_keys
from training.data.extracts.csv_file import FIRST_DATA_ROW, rows_text
from training.data.extracts.known_ids import KnownIds, row_ids

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
    """Parses and validates every row. Its id must be unique, and among `known` unless that is None."""
    keys = table.key_columns
    parsers = {column: parse_keys if column in keys else parse_cells for column in table.columns}
    values = arrow.table({column.name: parse(cells[column.name], column.kind) for column, parse in parsers.items()})
    of_text = {column.name: _key_checks(column) if column in keys else _text_checks(column) for column in table.columns}
    of_text[keys[0].name] += _id_checks(row_ids(cells, table), known, ", ".join(key.name for key in keys))
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


def _key_checks(key: Column) -> list[pa.Check]:
    def is_of_kind(text: "pd.Series[str]") -> "pd.Series[bool]":
        return _series(parse_keys(arrow.chunked_array(arrow.array(text)), key.kind).is_valid(), text)

    return [
        _check(f"must be an id: {entity_key.RULES[key.kind]}", _are_ids if key.kind is Kind.TEXT else is_of_kind),
        *_text_checks(key)[1:],
    ]


def _id_checks(ids: arrow.ChunkedArray, known: KnownIds | None, title: str) -> list[pa.Check]:
    """Checks of whole ids, of one key or several, with the rows of the column that pandera passes."""
    whole = _frame(arrow.table({title: ids}))[title].dropna()
    unique = ~whole.duplicated(keep=False)
    checks = [
        _check("must be unique in the file", lambda text: unique.reindex(text.index, fill_value=True), title=title)
    ]
    if known is not None:
        of_known = _series(compute.is_in(arrow.array(whole), value_set=known.ids), whole)
        checks.append(
            _check(f"must be {known.what}", lambda text: of_known.reindex(text.index, fill_value=True), title=title)
        )
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
