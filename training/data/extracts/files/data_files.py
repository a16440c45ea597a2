"""The files of a delivery's folder: which raw tables they hold, where each is, and a digest of its bytes."""

import hashlib
import re
from pathlib import Path

from asof.errors import ExtractError
from asof.extracts.schema import RawTable

DATA_FILE = re.compile(r"(.+)\.(csv|csv\.gz|csv\.zst|parquet)")
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


def data_files(folder: Path) -> list[Path]:
    """The files and folders of Parquet files whose names are those of a table's."""
    return sorted(path for path in folder.glob("*") if DATA_FILE.fullmatch(path.name))


def delivered_tables(folder: Path) -> set[str]:
    """The names of the tables, known or not, of which the folder holds a file."""
    return {match[1] for path in data_files(folder) if (match := DATA_FILE.fullmatch(path.name))}


def file_of(folder: Path, table: RawTable) -> Path:
    """The table's file, compressed or not, whether or not it is there. Raises ExtractError where there are two."""
    plain = folder / table.file
    names = [table.file, *(f"{table.file}{each}" for each in COMPRESSIONS if table.file.endswith(".csv"))]
    present = [folder / name for name in names if (folder / name).exists()]
    if len(present) > 1:
        raise ExtractError([f"{present[0].name}: {present[1].name} is there too: remove one of them from {folder}"])
    return present[0] if present else plain


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes; of a folder, that of the names and digests of its files. Raises OSError."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    files = parquet_files(path)
    lines = (f"{each.relative_to(path).as_posix()} {file_digest(each)}\n" for each in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def parquet_files(folder: Path) -> list[Path]:
    """All files of a folder of Parquet files, without hidden ones and markers such as `_SUCCESS`."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(each for each in files if not any(part[0] in "._" for part in each.relative_to(folder).parts))
