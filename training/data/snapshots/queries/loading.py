"""The queries of one load -> staged rows; and which of an extract's tables are queried for which moments."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from asof.errors import ExtractError, SourceError
from asof.extracts.cadence import moment_text
from asof.extracts.schema import ExtractSchema, RawTable
from asof.extracts.sources import PostgresQuery
from asof.settings import Settings
from training.data.extracts.deliveries import Delivery, Part
from training.data.extracts.extract import files_to_read
from training.data.snapshots.append import Times, staging, staging_table
from training.data.snapshots.queries.reading import Checked, QueriedTable, read_query
from training.data.snapshots.queries.servers import Server
from training.data.snapshots.tables import Connection

STORED = "SELECT DISTINCT {keys} FROM {table} WHERE as_of = {as_of} AND created_at <= {known_at}"
STAGED = "SELECT {keys} FROM {table}"
UNLABELLED = """
SELECT as_of FROM public.loads, jsonb_object_keys(files) AS each(file) GROUP BY as_of
HAVING bool_or(split_part(file, '.', 1) = %s) AND NOT bool_or(split_part(file, '.', 1) = %s) ORDER BY as_of"""
UNKNOWN = """
SELECT count(*), (array_agg(key ORDER BY key))[:5] FROM (
    SELECT concat_ws(', ', {keys}) AS key FROM {table} LEFT JOIN ({entities}) AS known USING ({keys})
    WHERE known.{key} IS NULL
) AS unknown"""


def queried_tables(
    schema: ExtractSchema, folder: Path | None, part: Part, as_of: datetime | None, known_at: datetime | None
) -> list[tuple[RawTable, PostgresQuery]]:
    """The tables of a part that are queried, the entities' first.

    Labels are queried once they can be known: `horizon` after the moment that they belong to. A delivery of labels
    alone queries no features. Raises SourceError where a query cannot describe the moment, or cannot say what had been
    recorded by `known_at` (None: the present, which needs no saying).
    """
    features = part is not Part.LABELS and not (folder and files_to_read(folder, schema, part) == [schema.labels])
    labels = part is not Part.FEATURES and _are_known(schema, as_of, known_at)
    tables = [*(schema.tables if features else ()), *([schema.labels] if labels else [])]
    queried = [(each, each.source) for each in tables if isinstance(each.source, PostgresQuery)]
    for table, source in queried:
        _require_parameters(table, source, as_of, known_at)
    return sorted(queried, key=lambda each: each[0].name != schema.entity_table)


def due_labels(settings: Settings, schema: ExtractSchema) -> list[Delivery]:
    """Queries of the labels of moments that were loaded without them, and whose labels can be known by now."""
    source = schema.labels.source
    if not isinstance(source, PostgresQuery) or "as_of" not in source.parameters:
        return []
    with psycopg.connect(settings.conninfo()) as connection:
        moments = [as_of for (as_of,) in connection.execute(UNLABELLED, (schema.entity_table, schema.labels.name))]
    due = [moment.astimezone(UTC) for moment in moments if _are_known(schema, moment, None)]
    return [Delivery(None, moment, None, Part.LABELS) for moment in due]


def stage_queries(
    connection: Connection, servers: Mapping[str, Server], tables: Sequence[RawTable], times: Times
) -> list[QueriedTable]:
    """Reads each table into its staging table. Raises ExtractError with the findings of all of them."""
    checked: list[Checked] = []
    for table in tables:
        assert isinstance(table.source, PostgresQuery)  # noqa: S101 - by `queried_tables`
        with staging(connection, table) as add:
            checked.append(read_query(servers[table.source.server], table, times, add))
    if findings := [finding for each in checked for finding in each.findings]:
        raise ExtractError(findings)
    return [each.table for each in checked]


def require_known_ids(
    connection: Connection, schema: ExtractSchema, queried: Sequence[RawTable], read: Collection[RawTable], times: Times
) -> None:
    """Raises ExtractError where a queried table with all keys has entities that the table of entities lacks."""
    staged = any(table.name == schema.entity_table for table in read)
    findings, names = [], " and ".join(schema.keys)
    for table in queried:
        if table.name == schema.entity_table or table.key_columns != schema.key_columns:
            continue
        query = sql.SQL(UNKNOWN).format(
            keys=_keys(schema),
            key=sql.Identifier(schema.keys[0]),
            table=staging_table(table),
            entities=entities_query(schema, times, staged=staged),
        )
        count, keys = connection.execute(query).fetchone() or (0, [])
        if count:
            first = ", ".join(map(repr, keys)) + (", ..." if count > len(keys) else "")
            rule = f"must be a {names} of {schema.entity_table}"
            findings.append(f"{table.file}: column {names}: {first} ({count} in all): {rule}")
    if findings:
        raise ExtractError(findings)


def entities_query(schema: ExtractSchema, times: Times, *, staged: bool) -> sql.Composed:
    """The ids of the entities: those that are staged, or those that are known of the moment."""
    entities = next(table for table in schema.tables if table.name == schema.entity_table)
    return sql.SQL(STAGED if staged else STORED).format(
        keys=_keys(schema),
        table=staging_table(entities) if staged else sql.Identifier("public", entities.name),
        as_of=sql.Literal(times.as_of),
        known_at=sql.Literal(times.known_at),
    )


def _keys(schema: ExtractSchema) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, schema.keys))


def _are_known(schema: ExtractSchema, as_of: datetime | None, known_at: datetime | None) -> bool:
    now = datetime.now(UTC)
    return schema.cadence.labels_known(as_of or now) <= (known_at or now)


def _require_parameters(
    table: RawTable, source: PostgresQuery, as_of: datetime | None, known_at: datetime | None
) -> None:
    if as_of and "as_of" not in source.parameters:
        raise SourceError(
            f"{table.name}: its query has no :as_of, so its rows are those of now, not of {moment_text(as_of)}. Add a "
            "condition on :as_of, or ingest without a moment. Nothing was loaded."
        )
    if known_at and "known_at" not in source.parameters:
        raise SourceError(
            f"{table.name}: its query has no :known_at, so nothing shows what was known of it at "
            f"{moment_text(known_at)}. Add a condition such as recorded_at <= :known_at, or load it as known now "
            "(without --backfill). Nothing was loaded."
        )
