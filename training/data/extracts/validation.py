"""The cells of one file, or of a batch of a query -> CheckedTable: typed values, and each rule that is broken.

Two pandera schemas are derived from the RawTable. The first validates the cells: empty ones, kinds, unique ids, known
ids. The second validates the typed rows that were parsed completely: ranges, allowed values, rules across columns.
Rows of a CSV file are named by their numbers, all others by their keys.
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

from asof.extracts.schema import Column, Kind, RawTable, Rule
from asof.extracts.sources import PLAIN_CSV, CsvFile
from asof.features import entity_key
from asof.features.join_keys import SEPARATOR
from training.data.extracts.cell_types import as_text, is_text, kind_rule, parse_cells, parse_keys
from training.data.extracts.files.csv_dialect import spelling_hint
from training.data.extracts.files.csv_file import FIRST_DATA_ROW
from training.data.extracts.known_ids import KnownIds, row_ids
from training.data.extracts.violation import SHOWN_ROWS, Violation

PANDAS_TYPES = {
    arrow.string(): pd.StringDtype("pyarrow"),
    arrow.int64(): pd.Int64Dtype(),
    arrow.bool_(): pd.BooleanDtype(),
}


@dataclass(frozen=True)
class CheckedTable:
    """The typed rows in file order, and the violations; the values are valid only if there are none.

    `source` names the file or query in a finding.
    """

    values: arrow.Table
    violations: tuple[Violation, ...]
    source: str

    @property
    def findings(self) -> tuple[str, ...]:
        """One sentence for each violation."""
        return tuple(f"{self.source}: {each.text()}" for each in self.violations)


def check_table(
    cells: arrow.Table, table: RawTable, known: KnownIds | None, source: str = "", *, whole: bool = True
) -> CheckedTable:
    """Parses and validates every row. Its id must be among `known` unless that is None.

    Ids must be unique if the cells are the `whole` table.
    """
    dialect = table.source if isinstance(table.source, CsvFile) else PLAIN_CSV
    keys = table.key_columns
    values = arrow.table(
        {each.name: _parse(cells[each.name], each, dialect, is_key=each in keys) for each in table.columns}
    )
    of_text = {
        each.name: _cell_checks(each, cells[each.name], values[each.name], dialect, is_key=each in keys)
        for each in table.columns
    }
    names = ", ".join(key.name for key in keys)
    of_text[keys[0].name] += _id_checks(row_ids(cells, table), known, names, unique=whole)
    shown = {name: as_text(cells[name]) for name, checks in of_text.items() if checks}
    shown |= {key.name: as_text(cells[key.name]) for key in keys if of_text[keys[0].name]}
    of_text = {name: checks for name, checks in of_text.items() if checks}
    of_values = {column.name: _value_checks(column) for column in table.columns}
    finder = _Finder(table, cells, dialect)
    violations = [
        *finder.find(_frame(arrow.table(shown)), of_text),
        *finder.find(_frame(values)[_parsed_rows(cells, values, table)], of_values, table.rules),
    ]
    return CheckedTable(values, tuple(violations), source or table.file)


def _frame(table: arrow.Table) -> pd.DataFrame:
    """As pandas, with the types that `asof.extracts.schema` documents for its rules."""
    rows: pd.DataFrame = table.to_pandas(types_mapper=PANDAS_TYPES.get, date_as_object=False)
    return rows


def _parsed_rows(cells: arrow.Table, values: arrow.Table, table: RawTable) -> NDArray[np.bool_]:
    """n booleans: whether every cell of the row is of its kind, or null where that is allowed."""
    parsed = np.ones(cells.num_rows, dtype=np.bool_)
    for column in table.columns:
        may_be_null = compute.and_(compute.is_null(cells[column.name]), column.nullable)
        parsed &= compute.or_(compute.is_valid(values[column.name]), may_be_null).to_numpy()
    return parsed


def _parse(cells: arrow.ChunkedArray, column: Column, dialect: CsvFile, *, is_key: bool) -> arrow.ChunkedArray:
    return parse_keys(cells, column.kind) if is_key else parse_cells(cells, column.kind, dialect)


def _cell_checks(
    column: Column, cells: arrow.ChunkedArray, values: arrow.ChunkedArray, dialect: CsvFile, *, is_key: bool
) -> list[pa.Check]:
    """Those that fail: what is known of the cells already is not asked of pandas, to which NaN is a null."""
    is_text_key = is_key and column.kind is Kind.TEXT
    is_id = is_key and not (is_text_key and not is_text(cells.type))  # a number is no text, whatever its digits
    rule = f"must be an id: {entity_key.RULES[column.kind]}" if is_id else kind_rule(column.kind, dialect)
    valid = _are_ids(values) if is_text_key else values.is_valid()
    rules = {rule: compute.or_(cells.is_null(), valid)}
    if not column.nullable:
        rules["must not be empty"] = cells.is_valid()
    return [
        _check(rule, partial(_series, mask), ignore_na=False)
        for rule, mask in rules.items()
        if not compute.all(mask).as_py()
    ]


def _id_checks(ids: arrow.ChunkedArray, known: KnownIds | None, title: str, *, unique: bool) -> list[pa.Check]:
    """Checks of whole ids, of one key or several, with the rows of the column that pandera passes."""
    whole = _frame(arrow.table({title: ids}))[title].dropna()
    checks = []
    if unique:
        once = ~whole.duplicated(keep=False)
        checks.append(
            _check("must be unique in the file", lambda text: once.reindex(text.index, fill_value=True), title=title)
        )
    if known is not None:
        of_known = _series(known.contain(arrow.array(whole)), whole)
        checks.append(
            _check(f"must be {known.what}", lambda text: of_known.reindex(text.index, fill_value=True), title=title)
        )
    return checks


def _are_ids(texts: arrow.ChunkedArray) -> arrow.ChunkedArray:
    """n booleans: whether a text is an id; false for a null."""
    good = compute.fill_null(compute.match_substring_regex(texts, entity_key.ASCII_KEY), False).to_numpy().copy()
    for row in np.flatnonzero(~good):
        text = texts[int(row)].as_py()
        good[row] = text is not None and entity_key.fault(text) is None
    return arrow.chunked_array([good])


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


@dataclass(frozen=True)
class _Finder:
    """Runs checks on frames with the rows of one table."""

    table: RawTable
    cells: arrow.Table
    dialect: CsvFile

    def find(
        self, rows: pd.DataFrame, checks: Mapping[str, list[pa.Check]], rules: Iterable[Rule] = ()
    ) -> list[Violation]:
        columns = {name: pa.Column(checks=each, nullable=True) for name, each in checks.items()}
        schema = pa.DataFrameSchema(columns, checks=[_rule_check(rule) for rule in rules])
        try:
            # Overrides PANDERA_VALIDATION_ENABLED and PANDERA_VALIDATION_DEPTH: an unvalidated extract is never loaded.
            with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
                schema.validate(rows, lazy=True)
        except pa.errors.SchemaErrors as errors:
            return [self._violation(error, rows) for error in errors.schema_errors]
        return []

    def _violation(self, error: pa.errors.SchemaError, rows: pd.DataFrame) -> Violation:
        columns = error.check.title.split(", ") if error.check.title else [error.schema.name]
        where = f"column{'s' if len(columns) > 1 else ''} {', '.join(columns)}"
        if error.check_output is None:
            failed = f"{error.check.error}: the rule itself failed: {str(error).splitlines()[0]}"
            return Violation(where, failed, (), 0, "")
        # The mask lacks the rows that the check ignores because their cell is null.
        failing = rows.loc[error.check_output.index[~error.check_output.astype(bool)], columns]
        example = _example(failing.iloc[0]) + self._hint(error.check.error, columns[0], failing.iloc[0, 0])
        places = failing.index[:SHOWN_ROWS]
        if isinstance(self.table.source, CsvFile):
            return Violation(where, error.check.error, tuple(places + FIRST_DATA_ROW), len(failing), example)
        ids = row_ids(self.cells, self.table)
        keys = tuple(_shown(ids[int(place)].as_py()) for place in places)
        names = ", ".join(key.name for key in self.table.key_columns)
        return Violation(where, error.check.error, keys, len(failing), example, names)

    def _hint(self, rule: str, name: str, cell: Any) -> str:
        """What a spelling of another dialect looks like, after the example."""
        kind = next(column.kind for column in self.table.columns if column.name == name)
        is_spelling = isinstance(self.table.source, CsvFile) and isinstance(cell, str)
        hint = spelling_hint(kind, cell) if is_spelling and rule == kind_rule(kind, self.dialect) else ""
        return f"; {hint}" if hint else ""


def _shown(id_: str | None) -> str | None:
    return id_ and id_.replace(SEPARATOR, ", ")


def _example(cells: "pd.Series[Any]") -> str:
    return ", ".join("nothing" if pd.isna(cell) else repr(str(cell)[:60]) for cell in cells)
