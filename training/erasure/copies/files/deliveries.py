"""Delivered files that still have the subject. They are not ours: the result names them, and nobody changes them."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
from pyarrow import input_stream, parquet

from asof.extracts.schema import RawTable
from asof.extracts.sources import CsvFile, ParquetFile
from training.data.extracts.files.data_files import file_of
from training.data.snapshots.owned_tables import table_exists
from training.erasure.work import Copy, Work

FOLDERS = "SELECT DISTINCT folder FROM public.loads WHERE as_of <= %s ORDER BY folder"
LEFT = "a delivered file: delete its lines there, or the file"


def erase(work: Work) -> Iterator[Copy]:
    """Files of the deliveries that were loaded, as far as they are on this machine."""
    with psycopg.connect(work.settings.conninfo()) as connection:
        if not table_exists(connection, "public.loads"):
            return
        folders = [Path(folder) for (folder,) in connection.execute(FOLDERS, [work.until])]
    for folder in filter(Path.is_dir, folders):
        for path, table in _files(folder, work):
            if count := _lines(path, table, work):
                yield Copy(str(path), count, LEFT)


def _files(folder: Path, work: Work) -> Iterator[tuple[Path, RawTable]]:
    schema = work.use_case.extract
    for table in (*schema.tables, schema.labels):
        keyed = work.subject.has([key.name for key in table.key_columns])
        if keyed and isinstance(table.source, CsvFile | ParquetFile) and (path := file_of(folder, table)).is_file():
            yield path, table


def _lines(path: Path, table: RawTable, work: Work) -> int:
    names = [*work.subject.keys]
    if isinstance(table.source, ParquetFile):
        rows = parquet.read_table(path, columns=names).to_pylist()
        return sum(work.subject.is_row(row) for row in rows)
    cells = [re.escape(str(value).encode()) for value in work.subject.keys.values()]
    with input_stream(str(path)) as stream:  # unpacks by the file's ending
        lines = stream.read().splitlines()
    beside = rb"[\w.@+-]"
    found = [re.compile(rb"(?<!%b)%b(?!%b)" % (beside, cell, beside), re.IGNORECASE) for cell in cells]
    return sum(all(each.search(line) for each in found) for line in lines)
