"""A table or a query of PostgreSQL -> FoundTable, from at most SAMPLE_ROWS rows."""

import re
from datetime import datetime

import psycopg
import pyarrow as arrow
from psycopg import sql

from asof.errors import DataError
from asof.extracts.sources import PostgresQuery
from scaffold.csv_guess import SAMPLE_ROWS
from scaffold.draft import FoundTable
from scaffold.profile import example_of, profile_table
from training.data.snapshots.reading.copy_query import copy_rows

QUERY = re.compile(r"\s*(select|with|table|values)\b", re.IGNORECASE)
ARROW_TYPES = {
    **dict.fromkeys(("int2", "int4", "int8"), arrow.int64()),
    **dict.fromkeys(("float4", "float8", "numeric"), arrow.float64()),
    "bool": arrow.bool_(),
    "date": arrow.date32(),
}
"""By PostgreSQL's name of the type; every other type is read as text."""


def read_query(origin: str, conninfo: str, moment_column: str | None, moment: datetime) -> FoundTable:
    """The rows of a table or query; those of the newest moment where `moment_column` names its column.

    A query with `:as_of` is run as of `moment`, by what was known then where it has `:known_at`.

    Raises DataError where it cannot be run, or has no rows.
    """
    try:
        with psycopg.connect(conninfo) as connection:
            connection.read_only = True
            return _found(connection, origin, moment_column, moment)
    except psycopg.Error as error:
        raise DataError(
            f"{origin} is neither a file nor a folder, and cannot be read from PostgreSQL: "
            f"{str(error).splitlines()[0]}. Correct it, or set ASOF_SOURCE_URL to the server that has it."
        ) from None


def _found(connection: psycopg.Connection, origin: str, moment_column: str | None, moment: datetime) -> FoundTable:
    source, literal = PostgresQuery(origin), sql.Literal(moment).as_string(connection)
    text = source.text(dict.fromkeys(source.parameters, literal))
    rows = sql.SQL("({}) AS asof_source").format(sql.SQL(text))
    types = _types(connection, sql.SQL("SELECT * FROM {} LIMIT 0").format(rows))
    newest: sql.Composable = sql.SQL("TRUE")
    if moment_column:
        newest = sql.SQL("{0} = (SELECT max({0}) FROM {1})").format(sql.Identifier(moment_column), rows)
    query = sql.SQL("SELECT * FROM {} WHERE {} LIMIT {}").format(rows, newest, SAMPLE_ROWS)
    chunks = list(copy_rows(connection, query, types))
    if not chunks:
        raise DataError(f"{origin} has no rows.")
    cells = arrow.concat_tables(chunks)
    described = f"{moment:%Y-%m-%d}" if source.parameters else ""
    if moment_column:
        described = str(cells[moment_column][0].as_py())[:10]
        cells = cells.drop_columns([moment_column])
    name = "rows" if QUERY.match(origin) else origin.rpartition(".")[2].strip('"')
    return FoundTable(name, origin, profile_table(cells, typed=True), example_of(cells), source, described)


def _types(connection: psycopg.Connection, query: sql.Composed) -> dict[str, arrow.DataType]:
    columns = connection.execute(query).description or ()
    names = [connection.adapters.types.get(column.type_code) for column in columns]
    return {
        column.name: ARROW_TYPES.get(known.name if known else "", arrow.string())
        for column, known in zip(columns, names, strict=True)
    }
