"""Delivered files that still have the subject. They are not ours: they stay, and the result names their folder."""

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
LEFT = "lines in {} delivered files, such as {}: delete the lines, or the files"


def erase(work: Work) -> Iterator[Copy]:
    """The lines in deliveries that were loaded and are on this machine, by the folder that holds the deliveries."""
    with psycopg.connect(work.settings.conninfo()) as connection:
        if not table_exists(connection, "public.loads"):
            return
        folders = [Path(folder) for (folder,) in connection.execute(FOLDERS, [work.until])]
    found: dict[Path, dict[Path, int]] = {}
    for folder in filter(Path.is_dir, folders):
        for path, table in _files(folder, work):
            if count := _lines(path, table, work):
                found.setdefault(folder.parent, {})[path] = count
    for parent, counts in found.items():
        first = next(iter(counts)).relative_to(parent)
        yield Copy(str(parent), sum(counts.values()), LEFT.format(len(counts), first))


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
