"""What the user points at -> the tables there (FoundTable): a file, a folder of files, a table or a query."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pyarrow import parquet

from asof.errors import DataError
from asof.extracts.sources import ParquetFile, Source
from scaffold.csv_guess import SAMPLE_ROWS, read_csv
from scaffold.draft import FoundTable
from scaffold.profile import example_of, profile_table
from scaffold.read_postgres import QUERY, read_query

FILES = (".csv", ".csv.gz", ".csv.zst", ".parquet")


def read_tables(
    origin: str, conninfo: Callable[[], str], moment_column: str | None, moment: datetime
) -> list[FoundTable]:
    """The tables of a file, a folder, or of a table or query of PostgreSQL; at most SAMPLE_ROWS rows of each are read.

    Of a folder with deliveries the newest one is read, of a table with `moment_column` its newest moment, and a query
    with `:as_of` is run as of `moment`. Raises DataError where nothing is there.
    """
    if QUERY.match(origin):
        return [read_query(origin, conninfo(), moment_column, moment)]
    path = Path(origin)
    if path.exists():
        if moment_column:
            raise DataError(f"{origin} is read as of one moment: --moment-column is for tables of PostgreSQL.")
        return [_read_file(file) for file in _files(path)]
    if origin.endswith(FILES):
        raise DataError(f"{origin} does not exist: name a file, a folder, or a table or query of PostgreSQL.")
    return [read_query(origin, conninfo(), moment_column, moment)]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(each for each in path.iterdir() if each.name.endswith(FILES))
    if files:
        return files
    folders = sorted(each for each in path.iterdir() if each.is_dir() and any(map(_is_table, each.iterdir())))
    if not folders:
        raise DataError(f"{path} holds no file that ends with {', '.join(FILES)}: is it the right folder?")
    return [each for each in sorted(folders[-1].iterdir()) if _is_table(each)]


def _is_table(path: Path) -> bool:
    return path.name.endswith(FILES)


def _read_file(path: Path) -> FoundTable:
    name = path.name.partition(".")[0]
    if path.name.endswith(".parquet"):
        source: Source = ParquetFile()
        cells, typed = parquet.ParquetFile(path).read().slice(0, SAMPLE_ROWS), True
    else:
        (source, cells), typed = read_csv(path), False
    if not cells.num_rows:
        raise DataError(f"{path} has no rows.")
    return FoundTable(name, path.name, profile_table(cells, typed=typed), example_of(cells), source)
