"""Files and queries with outcomes -> items as POST /outcomes takes them.

A row has the columns of an item, and in place of `entity` a column for each key of the use case.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pyarrow as arrow
from psycopg import sql

from asof.errors import SourceError
from asof.extracts.schema import Column, Kind
from asof.extracts.sources import ParquetFile, PostgresQuery
from asof.ledger.outcomes.report import answers_requests
from asof.settings import Settings
from asof.use_case import UseCase
from training.data.extracts.cell_types import as_text, parse_cells, parse_keys
from training.data.extracts.files.csv_file import read_csv_text
from training.data.extracts.files.parquet_file import read_parquet
from training.data.snapshots.queries.servers import open_servers

PARQUET = ".parquet"
BATCH_ROWS = 10_000
KINDS = {"Bool": Kind.BOOLEAN, "String": Kind.TEXT, "Float64": Kind.NUMBER}
"""Of outcomes, by the target's type of labels."""


def read_file(path: Path, use_case: UseCase) -> arrow.Table:
    """The columns of a CSV file (perhaps packed) or a Parquet file or folder.

    Raises ExtractError where it cannot be read, its rows have not the fields of its header, or a column is missing or
    unknown.
    """
    if path.suffix == PARQUET or path.is_dir():
        return read_parquet(path, _columns(_parquet_names(path), use_case), ParquetFile()).cells
    return read_csv_text(path, _columns(_csv_names(path), use_case)).cells


def read_query(settings: Settings, query: PostgresQuery, use_case: UseCase) -> arrow.Table:
    """The rows of a query. Raises SourceError where its server is away, it fails, or its columns are others."""
    if query.parameters:
        raise SourceError("A query for outcomes takes no :as_of and no :known_at. Write the moments out.")
    with open_servers(settings, [query.server]) as servers:
        server = servers[query.server]
        try:
            server.connection.execute("SELECT set_config('statement_timeout', %s, true)", (f"{query.timeout:.0f}s",))
            cursor = server.connection.execute(sql.SQL(query.text({})))
            names = [each.name for each in cursor.description or ()]
            rows = cursor.fetchall()
        except psycopg.Error as error:
            reason = (error.diag.message_primary or str(error).strip().splitlines()[0]).rstrip(".")
            raise SourceError(
                f"The query fails on server {server.name!r} ({server.address}): {reason}. Nothing was loaded."
            ) from None
    expected = _columns(names, use_case)
    if sorted(expected) != sorted(names) or not rows:
        wrong = ", ".join(sorted({*expected} ^ {*names})) or "a column that comes twice"
        fault = f"its columns are not those of outcomes: {wrong}" if rows else "it has no rows"
        raise SourceError(f"The query cannot be loaded: {fault}. Nothing was loaded.")
    values = zip(*([_plain(each) for each in row] for row in rows), strict=True)
    return arrow.table(dict(zip(names, map(arrow.array, map(list, values)), strict=True)))


def items(rows: arrow.Table, use_case: UseCase) -> Iterator[list[dict[str, Any]]]:
    """The items of all rows, in batches; a cell that is not of its kind stays as it is, and is rejected later."""
    keys = () if answers_requests(use_case) else use_case.extract.key_columns
    for start in range(0, rows.num_rows, BATCH_ROWS):
        columns = _values(rows[start : start + BATCH_ROWS], use_case, keys)
        entities = _entities(columns, keys)
        others = {name: values for name, values in columns.items() if name not in {key.name for key in keys}}
        named = {**({"entity": entities} if entities else {}), **others}
        yield [
            {name: value for name, value in zip(named, row, strict=True) if value is not None}
            for row in zip(*named.values(), strict=True)
        ]


def _columns(names: Sequence[str], use_case: UseCase) -> list[str]:
    """Those that a table with these columns must have, and may have."""
    keys = [] if answers_requests(use_case) else [key.name for key in use_case.extract.key_columns]
    target = ["request_id"] if "request_id" in names or not keys else [*keys, "as_of"]
    needed = ["outcome", "observed_at", *target]
    optional = ("request_id", "item", *keys, *(["as_of"] if keys else []), "acted", "control", "key")
    return list(dict.fromkeys([*needed, *(name for name in optional if name in names)]))


def _csv_names(path: Path) -> list[str]:
    """The header; nothing where `read_csv_text` will say what is wrong."""
    with suppress(OSError, arrow.ArrowException, csv.Error):
        with arrow.input_stream(str(path), compression="detect") as stream:
            line = stream.read(2**16).split(b"\n")[0].decode("utf-8-sig", errors="replace").rstrip("\r")
        return next(csv.reader([line]), [])
    return []


def _parquet_names(path: Path) -> list[str]:
    from pyarrow import dataset

    with suppress(OSError, arrow.ArrowException):
        return list(dataset.dataset(str(path), format="parquet", partitioning="hive").schema.names)
    return []


def _values(rows: arrow.Table, use_case: UseCase, keys: Sequence[Column]) -> Mapping[str, list[Any]]:
    kinds = {"outcome": KINDS[use_case.target.label_type], "item": Kind.INTEGER}
    kinds |= {"acted": Kind.BOOLEAN, "control": Kind.BOOLEAN, "request_id": Kind.TEXT, "key": Kind.TEXT}
    values: dict[str, list[Any]] = {}
    for name in rows.column_names:
        column = rows[name]
        if arrow.types.is_timestamp(column.type):
            values[name] = column.cast(arrow.timestamp("us", column.type.tz), safe=False).to_pylist()
        elif name in kinds:
            values[name] = _or_text(parse_cells(column, kinds[name]), column)
        else:
            values[name] = column.to_pylist()
    return values | {
        key.name: _or_text(parse_keys(rows[key.name], key.kind), rows[key.name]) for key in keys if key.name in values
    }


def _or_text(typed: arrow.ChunkedArray, cells: arrow.ChunkedArray) -> list[Any]:
    texts = as_text(cells).to_pylist() if typed.null_count > cells.null_count else [None] * len(cells)
    return [text if value is None else value for value, text in zip(typed.to_pylist(), texts, strict=True)]


def _entities(columns: Mapping[str, list[Any]], keys: Sequence[Column]) -> list[Any]:
    """As items name them; None where every key is null."""
    present = [key.name for key in keys if key.name in columns]
    if len(keys) == 1:
        return columns[present[0]] if present else []
    rows = zip(*(columns[name] for name in present), strict=True)
    named = ({name: value for name, value in zip(present, row, strict=True) if value is not None} for row in rows)
    return [each or None for each in named]


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, dict | list):
        return json.dumps(value)
    return float(value) if isinstance(value, Decimal) else value
