"""A month of answers or shadow scores <-> a Parquet file, with the SHA-256 of its rows as PostgreSQL sends them.

`psql -c "COPY (SELECT ...) TO STDOUT (FORMAT binary)" | sha256sum` prints the same (docs/operations/operations.md).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import parquet

from asof.errors import DataError
from asof.files import rename_durably
from asof.home import private_file
from asof.ledger.partitions import PREDICTIONS, SHADOW_SCORES, table_of
from asof.ledger.spool.copy_rows import SHADOW_COLUMNS
from monitoring.retention.columns import TYPES, Field, arrow_array, arrow_type, copy_fields, row_fields
from online_store.encoding.copy_format import HEADER, TRAILER, row

ROWS = "SELECT {columns} FROM ledger.{partition} ORDER BY {order}"
COPY = "COPY ({rows}) TO STDOUT (FORMAT binary)"
GROUP_ROWS = 20_000
MODELS = b"asof.models"
"""The file's metadata with `ledger.models`, in JSON: which value of a row is that of which feature."""
TABLES: Mapping[str, tuple[Sequence[str], LiteralString]] = {
    PREDICTIONS: (tuple(TYPES), 'at, request, item, status, entity COLLATE "C"'),
    SHADOW_SCORES: (SHADOW_COLUMNS, "at, request, item, model, score"),
}
"""For each table its columns, and the order of the rows in a file."""

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class MonthFile:
    """A file whose rows were read back and are those of the partition."""

    path: Path
    rows: int
    rows_sha256: str

    @property
    def sha256(self) -> str:
        """Of the whole file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def rows_sha256(connection: Connection, partition: str) -> str:
    """The SHA-256 of a partition's rows."""
    digest = hashlib.sha256()
    with connection.cursor() as cursor, cursor.copy(_copy(partition)) as copy:
        for data in copy:
            digest.update(data)
    return digest.hexdigest()


def export_month(connection: Connection, partition: str, folder: Path) -> MonthFile:
    """Writes a file, reads it back, and only then gives it its name.

    Raises DataError where its rows differ from those of the table, OSError where it cannot be written.
    """
    draft = private_file(folder / f".{partition}.parquet")
    rows, sent = _write(connection, partition, draft)
    read = file_rows_sha256(draft)
    if read != sent:
        raise DataError(
            f"{draft} differs from table ledger.{partition}: the month stays in the ledger. Report this bug."
        )
    path = file_name(folder, partition, sent)
    rename_durably(draft, path)
    return MonthFile(path, rows, sent)


def file_name(folder: Path, partition: str, digest: str) -> Path:
    """The file of a partition with these rows."""
    return folder / f"{partition}-{digest[:12]}.parquet"


def file_rows_sha256(path: Path) -> str:
    """The SHA-256 of a file's rows in the form in which PostgreSQL sends them."""
    digest = hashlib.sha256(HEADER)
    with parquet.ParquetFile(path) as file:
        types = {name: TYPES[name] for name in file.schema_arrow.names}
        for batch in file.iter_batches(GROUP_ROWS):
            columns = [copy_fields(batch.column(name), pg_type) for name, pg_type in types.items()]
            for fields in zip(*columns, strict=True):
                digest.update(row(len(types), fields))
    digest.update(TRAILER)
    return digest.hexdigest()


def _write(connection: Connection, partition: str, path: Path) -> tuple[int, str]:
    """The number of rows, and their SHA-256."""
    models = json.dumps([each for (each,) in connection.execute("SELECT to_jsonb(m) FROM ledger.models m ORDER BY id")])
    types = {name: TYPES[name] for name in TABLES[table_of(partition)][0]}
    digest, count = hashlib.sha256(), 0
    schema = pa.schema([(name, arrow_type(pg_type)) for name, pg_type in types.items()], {MODELS: models})
    with (
        parquet.ParquetWriter(path, schema, compression="zstd") as writer,
        connection.cursor() as cursor,
        cursor.copy(_copy(partition)) as copy,
    ):
        rows = _rows(copy, digest, len(types))
        while group := [*islice(rows, GROUP_ROWS)]:
            columns = zip(*group, strict=True)
            arrays = [arrow_array(fields, pg_type) for fields, pg_type in zip(columns, types.values(), strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(group)
    return count, digest.hexdigest()


def _rows(copy: Any, digest: Any, columns: int) -> Iterator[list[Field]]:
    """The fields of each row. The server sends each row in a message, the first after the header."""
    for number, message in enumerate(copy):
        data = bytes(message)
        digest.update(data)
        content = data.removeprefix(HEADER) if number == 0 else data
        if content and content != TRAILER:
            yield row_fields(content, columns)


def _copy(partition: str) -> sql.Composed:
    names, order = TABLES[table_of(partition)]
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    rows = sql.SQL(ROWS).format(columns=columns, partition=sql.Identifier(partition), order=sql.SQL(order))
    return sql.SQL(COPY).format(rows=rows)
