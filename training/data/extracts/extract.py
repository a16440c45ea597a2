"""A folder of data files -> its tables, typed and validated; or an ExtractError with the findings of all files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as arrow

from asof.errors import ExtractError
from asof.extracts.schema import ExtractSchema, RawTable
from asof.extracts.sources import PLAIN_CSV, CsvFile, ParquetFile
from training.data.extracts.deliveries import Part
from training.data.extracts.files.csv_file import read_csv_text
from training.data.extracts.files.data_files import file_of
from training.data.extracts.files.parquet_file import read_parquet
from training.data.extracts.known_ids import KnownIds, row_ids


@dataclass(frozen=True)
class DeliveredTable:
    """One table of a delivery: its typed rows in file order, its file's name, and the SHA-256 of the file."""

    table: RawTable
    rows: arrow.Table
    file: str
    sha256: str


def read_extract(
    folder: Path, schema: ExtractSchema, stored: Callable[[], KnownIds], part: Part = Part.WHOLE
) -> tuple[DeliveredTable, ...]:
    """Reads and validates a part of a delivery. The whole is every table of the schema that comes in a file, and the
    labels if they are there, or the labels alone.

    Ids of rows with all keys must be among those of the entities' file. Only if that is not read are they compared with
    `stored()`. Raises ExtractError.
    """
    from training.data.extracts.validation import check_table  # imports pandera

    tables = files_to_read(folder, schema, part)
    known = None if any(table.name == schema.entity_table for table in tables) else stored()
    delivery: list[DeliveredTable] = []
    findings: list[str] = []
    for table in tables:
        try:
            path = file_of(folder, table)
            cells, sha256 = _read(path, table)
        except ExtractError as error:
            findings.extend(error.findings)
            continue
        checked = check_table(cells, table, known if table.key_columns == schema.key_columns else None, path.name)
        delivery.append(DeliveredTable(table, checked.values, path.name, sha256))
        findings.extend(checked.findings)
        if table.name == schema.entity_table:
            known = KnownIds(row_ids(cells, table), f"a {' and '.join(schema.keys)} of {path.name}")
    if findings:
        raise ExtractError(findings)
    return tuple(delivery)


def files_to_read(folder: Path, schema: ExtractSchema, part: Part) -> list[RawTable]:
    """The tables of a part that come in files, the entities' first."""
    features = [each for each in schema.tables if isinstance(each.source, CsvFile | ParquetFile)]
    in_file = isinstance(schema.labels.source, CsvFile | ParquetFile)
    labels = [schema.labels] if in_file and part is not Part.FEATURES and _is_there(folder, schema.labels) else []
    if part is Part.LABELS or (labels and features and not any(_is_there(folder, table) for table in features)):
        return [schema.labels] if in_file else []
    return sorted(features, key=lambda table: table.name != schema.entity_table) + labels


def _is_there(folder: Path, table: RawTable) -> bool:
    return file_of(folder, table).exists()


def _read(path: Path, table: RawTable) -> tuple[arrow.Table, str]:
    columns: Sequence[str] = [column.name for column in table.columns]
    if isinstance(table.source, ParquetFile):
        parquet = read_parquet(path, columns, table.source)
        return parquet.cells, parquet.sha256
    text = read_csv_text(path, columns, table.source if isinstance(table.source, CsvFile) else PLAIN_CSV)
    return text.cells, text.sha256
