"""Copies in the files to which retention has moved old months of the ledger.

A file is written again with stubs in place of the subject's answers, under the name of its new digest, and recorded
beside the old one, which is deleted.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as arrow
import pyarrow.compute as compute
from pyarrow import parquet

from asof.files import rename_durably
from asof.home import private_file
from asof.ledger.reading.kept_answer import ERASED
from asof.settings import Settings
from monitoring.erasure.work import NOT_COUNTED, Copy, Work
from monitoring.retention.keep import RECORD
from monitoring.retention.month_file import GROUP_ROWS, MODELS, MonthFile, file_name, file_rows_sha256
from training.data.snapshots.owned_tables import table_exists

FILES = "SELECT DISTINCT partition, file FROM ledger.exports ORDER BY file"
REPLACED = """
SELECT exists(SELECT FROM ledger.exports WHERE partition = %s AND exported_at > (
    SELECT max(exported_at) FROM ledger.exports WHERE partition = %s AND file = %s))"""
KEPT = ("at", "request", "model", "item", "status", "code")
"""The columns of a stub."""


def erase(work: Work) -> Iterator[Copy]:
    """Answers in each file that is on this machine."""
    with psycopg.connect(work.settings.ledger_conninfo(), autocommit=True) as connection:
        if not table_exists(connection, "ledger.exports"):
            return
        for partition, name in connection.execute(FILES).fetchall():
            if (path := Path(name)).is_file():
                mask = _mask(path, work)
                if (count := sum(map(sum, mask))) and work.apply:
                    month = _rewrite(path, partition, mask)
                    values = (partition, str(month.path), month.rows, month.sha256, month.rows_sha256)
                    connection.execute(RECORD, values)
                    path.unlink()
                yield Copy(str(path), count)
            elif not _was_replaced(connection, partition, name):
                yield Copy(name, NOT_COUNTED, "a month of the ledger that is not here: run the command where it is")


def entities_of_months(settings: Settings) -> Iterator[str]:
    """The canonical texts of all entities in the files that are on this machine, of every use case."""
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        if table_exists(connection, "ledger.exports"):
            files = [Path(name) for _, name in connection.execute(FILES).fetchall()]
            for path in filter(Path.is_file, files):
                yield from filter(
                    None, compute.unique(parquet.read_table(path, columns=["entity"])["entity"]).to_pylist()
                )


def _was_replaced(connection: psycopg.Connection[Any], partition: str, name: str) -> bool:
    """Whether a later file, as an erasure writes it, has the rows of this one."""
    row = connection.execute(REPLACED, [partition, partition, name]).fetchone()
    return row == (True,)


def _mask(path: Path, work: Work) -> list[list[bool]]:
    """For each group of rows, whether a row is an answer about the subject."""
    with parquet.ParquetFile(path) as file:
        models = json.loads(file.schema_arrow.metadata[MODELS])
        own = {each["id"] for each in models if each["use_case"] == work.use_case.name}
        groups = (
            file.read_row_group(number, ["model", "entity", "at"]).to_pydict() for number in range(file.num_row_groups)
        )
        return [
            [
                model in own and entity is not None and at <= work.until and work.subject.is_text(entity)
                for model, entity, at in zip(group["model"], group["entity"], group["at"], strict=True)
            ]
            for group in groups
        ]


def _rewrite(path: Path, partition: str, mask: list[list[bool]]) -> MonthFile:
    draft = private_file(path.with_name(f".{path.name}"))
    with parquet.ParquetFile(path) as file:
        with parquet.ParquetWriter(draft, file.schema_arrow, compression="zstd") as writer:
            for number, is_own in enumerate(mask):
                writer.write_table(_stubbed(file.read_row_group(number), is_own), GROUP_ROWS)
        rows = file.metadata.num_rows
    digest = file_rows_sha256(draft)
    new = file_name(path.parent, partition, digest)
    rename_durably(draft, new)
    return MonthFile(new, rows, digest)


def _stubbed(rows: arrow.Table, is_own: list[bool]) -> arrow.Table:
    mask, columns = arrow.array(is_own), dict[str, Any]()
    for name in rows.column_names:
        kind = rows.schema.field(name).type
        if name in KEPT and name != "code":
            columns[name] = rows[name]
        else:
            stub = arrow.scalar(ERASED if name == "code" else None, kind)
            columns[name] = compute.if_else(mask, stub, rows[name].combine_chunks())
    return arrow.table(columns, rows.schema)
