"""The source of a raw table -> Python's source of its declaration."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from asof.extracts.schema import Kind
from asof.extracts.sources import ALL_OTHERS, CsvFile, ParquetFile, PostgresQuery
from scaffold.draft import Draft, DraftColumn, DraftTable
from scaffold.read_postgres import QUERY


def source_code(draft: Draft, table: DraftTable) -> str:
    """The declaration, without what is as by default."""
    source = table.found.source
    if isinstance(source, PostgresQuery):
        return f"PostgresQuery({_text_block(_query(draft, table, source))})"
    names = {each.profile.name: each.name for each in table.columns if each.profile.name != each.name}
    ignored = ALL_OTHERS if len(table.columns) < len(table.found.columns) else ()
    file = "" if table.found.name == table.name else table.found.name
    if isinstance(source, ParquetFile):
        return _code(replace(source, columns=names, ignored=ignored, file=file))
    assert isinstance(source, CsvFile)  # noqa: S101 - nothing else is read
    false, true = draft.spelling if draft.spelling and table is draft.labels else ("", "")
    spelled = replace(source, true=_with(source.true, true), false=_with(source.false, false))
    return _code(replace(spelled, header=names, ignored=ignored, file=file))


def _with(spellings: tuple[str, ...], another: str) -> tuple[str, ...]:
    known = {each.casefold() for each in spellings}
    return spellings if not another or another.casefold() in known else (*spellings, another)


def _code(source: CsvFile | ParquetFile) -> str:
    given = (f"{name}={'ALL_OTHERS' if value == ALL_OTHERS else repr(value)}" for name, value in _set(source))
    return f"{type(source).__name__}({', '.join(given)})"


def _set(source: Any) -> Iterator[tuple[str, Any]]:
    default = type(source)()
    for each in fields(source):
        if (value := getattr(source, each.name)) != getattr(default, each.name):
            yield each.name, value


def _query(draft: Draft, table: DraftTable, source: PostgresQuery) -> str:
    """The columns by their names in AsOf, from the rows of the moment asked for."""
    columns = [f"{_value(draft, each)} AS {_quoted(each.name)}" for each in table.columns]
    lines = ["SELECT", ",\n".join(f"    {each}" for each in columns), f"FROM {_rows(source)}"]
    if moment := draft.wish.moment_column:
        lines.append(f"WHERE {_quoted(moment)} = :as_of")
    return "\n".join(lines)


def _value(draft: Draft, column: DraftColumn) -> str:
    name = _quoted(column.profile.name)
    if column is not draft.label or not draft.spelling or column.profile.kind is Kind.BOOLEAN:
        return name
    return f"{name} = {_literal(draft.spelling[1])}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _text_block(text: str) -> str:
    """Lines as Python's source, in triple quotes where nothing must be escaped."""
    return repr(text) if '"""' in text or "\\" in text else f'"""\n{text}\n"""'


def _rows(source: PostgresQuery) -> str:
    """A table or view as it was named, or a query in parentheses."""
    return f"({source.query.strip().rstrip(';')}) AS rows" if QUERY.match(source.query) else source.query


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
