"""The table `loads`: what was loaded last from a folder or a query, and the record of a new load."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from asof.settings import Settings
from training.data.extracts.deliveries import delivery_name
from training.data.snapshots.append import Times
from training.data.snapshots.owned_tables import table_exists
from training.data.snapshots.provenance import code_version
from training.data.snapshots.tables import Connection

LOADED_FILES = """
SELECT folder, file, facts ->> 'sha256', known_at, (facts ->> 'rows')::bigint
FROM public.loads, jsonb_each(files) AS each(file, facts) WHERE as_of = %s
ORDER BY load_id"""
QUERIES = "queries"
"""In place of a folder, for a load of queries only."""

ANY_LOAD = "SELECT FROM public.loads LIMIT 1"
INSERT = """
INSERT INTO public.loads (folder, as_of, known_at, code_version, files) VALUES (%s, %s, %s, %s, %s) RETURNING load_id"""


@dataclass(frozen=True)
class Loaded:
    """A file, or the rows of a query, as the table names it."""

    sha256: str
    known_at: datetime
    rows: int


def loaded_last(connection: Connection, folder: Path | None, times: Times) -> dict[str, Loaded]:
    """By table: as last loaded from this path, or else under this delivery's name."""
    path, name = _path(folder), delivery_name(Path(_path(folder)))
    by_path: dict[str, Loaded] = {}
    by_name: dict[str, Loaded] = {}
    for loaded, file, *facts in connection.execute(LOADED_FILES, (times.as_of,)):
        table, _, suffix = file.partition(".")
        if loaded == path or not suffix:  # a query is the same, wherever the files beside it are
            by_path[table] = Loaded(*facts)
        if delivery_name(Path(loaded)) == name:
            by_name[table] = Loaded(*facts)
    return by_name | by_path


def record_load(connection: Connection, folder: Path | None, times: Times, files: Mapping[str, Any]) -> int:
    """Adds a row with the facts of each file or query; returns its `load_id`."""
    values = (_path(folder), times.as_of, times.known_at, str(code_version()), Jsonb(files))
    return int(next(connection.execute(INSERT, values))[0])


def anything_loaded(settings: Settings) -> bool:
    """Whether the table `loads` exists and has a row."""
    with psycopg.connect(settings.conninfo()) as connection:
        return table_exists(connection, "public.loads") and connection.execute(ANY_LOAD).fetchone() is not None


def _path(folder: Path | None) -> str:
    """The absolute path of a delivery; a link keeps its own name, whatever it points to today."""
    return os.path.abspath(folder) if folder else QUERIES  # noqa: PTH100 - `resolve` follows links
