"""Copies in the files to which retention has moved old months of answers (`monitoring.retention`).

An answer stays as a stub, as in the ledger. `ledger.exports` gets another row with the new digest of a changed file.
Beside the files that it names are perhaps others, which an interrupted `flows ledger keep` has left.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from asof.files import rename_durably
from asof.home import private_file
from asof.ledger.reading.kept_answer import ERASED
from asof.settings import Settings
from training.data.snapshots.owned_tables import table_exists
from training.erasure.work import NOT_COUNTED, Copy, Work

FILES = "SELECT DISTINCT file FROM ledger.exports ORDER BY file"
RECORD = """
INSERT INTO ledger.exports (partition, file, rows, file_sha256, rows_sha256)
SELECT partition, file, rows, %s, '' FROM ledger.exports WHERE file = %s ORDER BY exported_at LIMIT 1"""
ARCHIVE = "archive"
"""The folder of the home that retention takes by default."""
PATTERNS = ("predictions_*.parquet", ".predictions_*.parquet")
MODELS = b"asof.models"
STAYS = ("at", "request", "model", "item", "status")


def erase(work: Work) -> Iterator[Copy]:
    """The answers in each file. One that is not here is left to the user."""
    with psycopg.connect(work.settings.ledger_conninfo(), autocommit=True) as connection:
        if not table_exists(connection, "ledger.exports"):
            return
        for path in _files(connection, work.settings):
            if not path.is_file():
                yield Copy(str(path), NOT_COUNTED, "not here: run the command where the file is, or delete it")
                continue
            try:
                count = _count(work, path)
            except pa.ArrowInvalid:
                yield Copy(str(path), NOT_COUNTED, "half written: run `flows ledger keep` again, or delete it")
                continue
            if count and work.apply:
                connection.execute(RECORD, [_rewrite(work, path), str(path)])
            yield Copy(str(path), count)


def entities_of_files(settings: Settings) -> Iterator[str]:
    """The canonical texts of all entities in the files that are here, of every use case."""
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        paths = _files(connection, settings) if table_exists(connection, "ledger.exports") else []
    for path in filter(Path.is_file, paths):
        with suppress(pa.ArrowInvalid):  # half written
            yield from filter(None, pc.unique(parquet.read_table(path, columns=["entity"])["entity"]).to_pylist())


def _files(connection: psycopg.Connection[Any], settings: Settings) -> list[Path]:
    """Those that are recorded, and what else of their kind is in their folders and in the default one."""
    recorded = [Path(name) for (name,) in connection.execute(FILES)]
    folders = dict.fromkeys([*(path.parent for path in recorded), (settings.home / ARCHIVE).resolve()])
    found = (path for folder in folders for pattern in PATTERNS for path in sorted(folder.glob(pattern)))
    return [*dict.fromkeys([*recorded, *found])]


def _count(work: Work, path: Path) -> int:
    with parquet.ParquetFile(path) as file:
        models = _models(work, file)
        return sum(sum(_matches(work, models, batch)) for batch in file.iter_batches(columns=["at", "model", "entity"]))


def _rewrite(work: Work, path: Path) -> str:
    """The SHA-256 of the changed file."""
    draft = private_file(path.with_name(f".{path.name}"))
    with parquet.ParquetFile(path) as file:
        models, schema = _models(work, file), file.schema_arrow
        with parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
            for batch in file.iter_batches():
                writer.write_batch(_stubbed(batch, pa.array(_matches(work, models, batch), pa.bool_())))
    rename_durably(draft, path)
    with path.open("rb") as changed:
        return hashlib.file_digest(changed, "sha256").hexdigest()


def _models(work: Work, file: Any) -> set[int]:
    """The ids of the use case's models."""
    models = json.loads(file.schema_arrow.metadata[MODELS])
    return {each["id"] for each in models if each["use_case"] == work.use_case.name}


def _matches(work: Work, models: set[int], batch: Any) -> list[bool]:
    columns = (batch.column(name).to_pylist() for name in ("at", "model", "entity"))
    return [
        entity is not None and model in models and at <= work.until and work.subject.is_text(entity)
        for at, model, entity in zip(*columns, strict=True)
    ]


def _stubbed(batch: Any, gone: Any) -> Any:
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        instead = pa.scalar(ERASED if name == "code" else None, column.type)
        columns.append(column if name in STAYS else pc.if_else(gone, instead, column))
    return pa.record_batch(columns, schema=batch.schema)
