"""A folder of CSV files -> its tables, typed and validated; or an ExtractError with the findings of all files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as arrow

from asof.errors import ExtractError
from asof.extract_schema import ExtractSchema, RawTable
from training.data.extracts.csv_file import read_csv_text
from training.data.extracts.deliveries import Part
from training.data.extracts.known_ids import KnownIds


@dataclass(frozen=True)
class DeliveredTable:
    """One table of a delivery: its typed rows in file order, and the SHA-256 of the file."""

    table: RawTable
    rows: arrow.Table
    sha256: str

    @property
    def file(self) -> str:
        """The file's name in its folder."""
        return f"{self.table.name}.csv"


def read_extract(
    folder: Path, schema: ExtractSchema, stored: Callable[[], KnownIds], part: Part = Part.WHOLE
) -> tuple[DeliveredTable, ...]:
    """Reads and validates a part of a delivery. The whole is every table of the schema and the labels if they are
    there, or the labels alone.

    Ids must be among those of the entities' file. Only if the labels come alone are they compared with `stored()`.
    Raises ExtractError.
    """
    from training.data.extracts.validation import check_table  # imports pandera

    tables = tables_of(folder, schema, part)
    known = stored() if tables == [schema.labels] else None
    delivery: list[DeliveredTable] = []
    findings: list[str] = []
    for table in tables:
        try:
            text = read_csv_text(_file(folder, table), [column.name for column in table.columns])
        except ExtractError as error:
            findings.extend(error.findings)
            continue
        checked = check_table(text.cells, table, known)
        delivery.append(DeliveredTable(table, checked.values, text.sha256))
        findings.extend(checked.findings)
        if table.name == schema.entity_table:
            known = KnownIds(text.cells[schema.entity], f"a {schema.entity} of {table.name}.csv")
    if findings:
        raise ExtractError(findings)
    return tuple(delivery)


def tables_of(folder: Path, schema: ExtractSchema, part: Part) -> list[RawTable]:
    """The tables of a part of a delivery, the entities' table first; their files need not be there."""
    labels = [schema.labels] if part is not Part.FEATURES and _file(folder, schema.labels).exists() else []
    if part is Part.LABELS or (labels and not any(_file(folder, table).exists() for table in schema.tables)):
        return [schema.labels]
    return sorted(schema.tables, key=lambda table: table.name != schema.entity_table) + labels


def _file(folder: Path, table: RawTable) -> Path:
    return folder / f"{table.name}.csv"
