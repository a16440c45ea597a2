"""A Parquet file, or a folder of them, perhaps partitioned -> its columns as they are typed there, and a SHA-256."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as arrow

from asof.errors import ExtractError
from asof.extracts.sources import ALL_OTHERS, ParquetFile
from training.data.extracts.files.data_files import file_digest, parquet_files


@dataclass(frozen=True)
class ParquetColumns:
    """`cells` has the requested columns in the requested order; `sha256` is that of `file_digest`."""

    cells: arrow.Table
    sha256: str


def read_parquet(path: Path, columns: Sequence[str], source: ParquetFile) -> ParquetColumns:
    """Reads a whole file or folder, whose columns may be in any order; files are read in the order of their names.

    Raises ExtractError where it cannot be read, has no rows, or has other columns.
    """
    from pyarrow import dataset

    try:
        files = parquet_files(path) if path.is_dir() else [path]
        if not files:
            raise ExtractError([f"{path.name}: the folder holds no file; deliver it again"])
        data = dataset.dataset(
            [str(each) for each in files],
            format="parquet",
            partitioning=dataset.partitioning(_partitions(path, files), flavor="hive"),
            partition_base_dir=str(path),
        )
        names = {name: source.columns.get(name, name) for name in data.schema.names if name not in source.ignored}
        if source.ignored == ALL_OTHERS:
            names = {name: column for name, column in names.items() if column in columns}
        _require_columns(path, list(names.values()), columns)
        own = {column: name for name, column in names.items()}
        table = data.to_table(columns=[own[column] for column in columns], use_threads=False).rename_columns(columns)
        digest = file_digest(path)
    except OSError as error:
        fault = f"cannot be read: {error.strerror or error}; the file must be in {path.parent}"
        raise ExtractError([f"{path.name}: {fault}"]) from error
    except arrow.ArrowException as error:
        raise ExtractError([f"{path.name}: cannot be read as Parquet: {str(error).splitlines()[0]}"]) from error
    if not table.num_rows:
        raise ExtractError([f"{path.name}: there are no rows in it; deliver the file again"])
    return ParquetColumns(table, digest)


def _partitions(path: Path, files: Sequence[Path]) -> arrow.Schema:
    """The columns that are in the names of folders, as text: `region=01` is no number."""
    names = {part.partition("=")[0]: arrow.string() for each in files for part in each.relative_to(path).parts[:-1]}
    return arrow.schema(names.items())


def _require_columns(path: Path, actual: Sequence[str], expected: Sequence[str]) -> None:
    rules = {
        "is missing": [name for name in expected if name not in actual],
        "is unknown; ignore it in ParquetFile(ignored=...), or add it to the schema": [
            name for name in actual if name not in expected
        ],
        "is there more than once": dict.fromkeys(name for name in expected if actual.count(name) > 1),
    }
    if findings := [f"{path.name}: column {name!r} {rule}" for rule in rules for name in rules[rule]]:
        raise ExtractError(findings)
