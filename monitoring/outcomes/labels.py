"""Labels of extracts as outcomes, from their own tables: no row is copied to the ledger."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
import pyarrow as arrow
from psycopg import sql

from asof.extracts.schema import Column, ExtractSchema
from asof.settings import Settings
from training.data.extracts.cell_types import ARROW_TYPES
from training.data.snapshots.owned_tables import require_own_tables, table_exists
from training.data.snapshots.reading.copy_query import copy_rows
from training.data.snapshots.tables import LOAD_LOCK, Connection

# The newest version of each label that was known.
LABELS: LiteralString = """
SELECT DISTINCT ON (as_of, {keys}) {entity}, {as_of}, {label}, {created_at} FROM {table}
WHERE as_of BETWEEN {first} AND {last} AND created_at <= {known_at} ORDER BY as_of, {keys}, created_at DESC"""
LOADS: LiteralString = """
SELECT as_of, known_at FROM public.loads, jsonb_object_keys(files) AS each (file)
WHERE split_part(file, '.', 1) = %s AND as_of BETWEEN %s AND %s AND known_at <= %s"""


@dataclass(frozen=True)
class KnownLabels:
    """The labels of a span of moments, and when those of each moment were loaded.

    The columns of `rows`: entity (canonical text), as_of, label, and label_created_at; one row for each entity and
    moment.
    """

    rows: arrow.Table
    loaded: Mapping[datetime, Sequence[datetime]]


def known_labels(
    settings: Settings, extract: ExtractSchema, first: datetime, last: datetime, known_at: datetime
) -> KnownLabels:
    """The labels of the moments from `first` to `last`, as they were known at `known_at`; none where none was loaded.

    Waits for a running load, whose rows may be known before `known_at`. Raises ConfigurationError where the table
    belongs to another use case.
    """
    kind = extract.label_column.kind
    moment = arrow.timestamp("us", "UTC")
    types = {"entity": arrow.string(), "as_of": moment, "label": ARROW_TYPES[kind], "label_created_at": moment}
    schema = arrow.schema(types)
    with psycopg.connect(settings.conninfo()) as connection:
        require_own_tables(connection, extract)
        if not all(table_exists(connection, f"public.{name}") for name in (extract.labels.name, "loads")):
            return KnownLabels(schema.empty_table(), {})
        connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (LOAD_LOCK,))
        loaded = _loaded(connection, extract.labels.name, (first, last, known_at))
        query = _query(extract, first, last, known_at)
        chunks = [each.cast(schema) for each in copy_rows(connection, query, _as_copied(types))]
        return KnownLabels(arrow.concat_tables([schema.empty_table(), *chunks]), loaded)


def microseconds(moment: sql.Composable) -> sql.Composed:
    """A moment as a whole number, which a COPY of text keeps exactly."""
    return sql.SQL("(extract(epoch FROM {}) * 1000000)::bigint").format(moment)


def _as_copied(types: Mapping[str, arrow.DataType]) -> dict[str, arrow.DataType]:
    return {name: arrow.int64() if arrow.types.is_timestamp(each) else each for name, each in types.items()}


def _loaded(
    connection: Connection, table: str, times: tuple[datetime, datetime, datetime]
) -> Mapping[datetime, Sequence[datetime]]:
    loaded: defaultdict[datetime, list[datetime]] = defaultdict(list)
    for as_of, known_at in connection.execute(LOADS, (table, *times)):
        loaded[as_of].append(known_at)
    return loaded


def _query(extract: ExtractSchema, first: datetime, last: datetime, known_at: datetime) -> sql.Composed:
    return sql.SQL(LABELS).format(
        keys=sql.SQL(", ").join(map(sql.Identifier, extract.keys)),
        entity=_entity_text(extract.key_columns),
        as_of=microseconds(sql.Identifier("as_of")),
        label=sql.Identifier(extract.label),
        created_at=microseconds(sql.Identifier("created_at")),
        table=sql.Identifier("public", extract.labels.name),
        first=sql.Literal(first),
        last=sql.Literal(last),
        known_at=sql.Literal(known_at),
    )


def _entity_text(keys: Sequence[Column]) -> sql.Composable:
    """As `JoinKeys.text` writes it."""
    if len(keys) == 1:
        return sql.SQL("{}::text").format(sql.Identifier(keys[0].name))
    members = (
        sql.SQL("{} || to_json({})").format(sql.Literal(f'"{key.name}": '), sql.Identifier(key.name)) for key in keys
    )
    return sql.SQL("'{{' || {} || '}}'").format(sql.SQL(" || ', ' || ").join(members))
