"""A folder of extracts, or the snapshots as known at a moment -> Months."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as arrow
from psycopg import sql

from asof.errors import DataError, TrainingSetError
from asof.extracts.schema import ExtractSchema, RawTable
from asof.extracts.sources import InPlace, PostgresQuery
from asof.settings import Settings
from training.data.extracts.cell_types import ARROW_TYPES
from training.data.extracts.deliveries import Delivery, find_deliveries
from training.data.extracts.extract import read_extract
from training.data.extracts.known_ids import KnownIds, row_ids
from training.data.snapshots.reading.copy_query import copy_rows
from training.data.snapshots.reading.known_at import KnownTables, tables_known_at
from training.inspection.month import Month, month_of


def months_in(folder: Path, schema: ExtractSchema, *, first: date | None = None) -> Iterator[Month]:
    """Every month of the folder, the oldest first, with its labels and redeliveries; `first` as in find_deliveries.

    Raises DataError where there is no month, or one with labels only; ExtractError where a file breaks a rule.
    """
    if queried := [table.name for table in schema.tables if isinstance(table.source, PostgresQuery | InPlace)]:
        raise DataError(f"{', '.join(queried)} come from no file: ingest them, then inspect the moment that is loaded.")
    found = find_deliveries(
        folder,
        first=first,
        backfill=True,
        labels=schema.labels.stem,
        features=schema.feature_files,
        cadence=schema.cadence,
    )
    deliveries = [(each.as_of, each) for each in found if each.as_of]
    for moment in sorted({as_of for as_of, _ in deliveries}):
        yield _delivered(moment, [each for as_of, each in deliveries if as_of == moment], schema)


def months_known(
    settings: Settings, schema: ExtractSchema, as_of: datetime, *, known_at: datetime | None = None
) -> list[Month]:
    """The month of `as_of` and the one before it, as known at `known_at` (default: now).

    Raises TrainingSetError where there is no snapshot of `as_of`.
    """
    known = known_at or datetime.now(UTC)
    with tables_known_at(settings, schema, as_of=as_of, known_at=known) as tables:
        moments = _moments(tables, schema)
        if as_of not in moments:
            raise TrainingSetError(
                f"There are no features as of {as_of.isoformat()}, as known at {known.isoformat()}: ingest that month."
            )
        every = (*schema.tables, schema.labels)
        return [
            month_of(schema, moment, {table.name: [_rows(tables, table, moment)] for table in every})
            for moment in sorted(moments)
        ]


def _delivered(as_of: datetime, deliveries: list[Delivery], schema: ExtractSchema) -> Month:
    tables: dict[str, list[arrow.Table]] = {}

    def known() -> KnownIds:
        if schema.entity_table not in tables:
            raise DataError(f"{deliveries[0].folder} has labels without the extract of their moment: add it.")
        rows = arrow.concat_tables(tables[schema.entity_table])
        return KnownIds(row_ids(rows, schema.labels), f"a {' and '.join(schema.keys)} of {schema.entity_table}")

    for each in deliveries:
        for part in read_extract(each.folder, schema, known, each.part) if each.folder else ():
            tables.setdefault(part.table.name, []).append(part.rows)
    return month_of(schema, as_of, tables)


def _moments(tables: KnownTables, schema: ExtractSchema) -> list[datetime]:
    """The two newest moments of the table of entities."""
    table = sql.Identifier(schema.entity_table)
    query = sql.SQL("SELECT DISTINCT as_of FROM {} ORDER BY as_of DESC LIMIT 2").format(table)
    return [moment.astimezone(UTC) for (moment,) in tables.connection.execute(query)]


def _rows(tables: KnownTables, table: RawTable, as_of: datetime) -> arrow.Table:
    """The newest row of each entity; of a table that is used in place, that which holds at the moment."""
    before = sql.SQL("as_of <= {}" if isinstance(table.source, InPlace) else "as_of = {}")
    query = sql.SQL(
        "SELECT DISTINCT ON ({keys}) {columns} FROM {table} WHERE {timely} ORDER BY {keys}, as_of DESC, created_at DESC"
    ).format(
        keys=sql.SQL(", ").join(sql.Identifier(key.name) for key in table.key_columns),
        columns=sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns),
        table=sql.Identifier(table.name),
        timely=before.format(sql.Literal(as_of)),
    )
    types = {column.name: ARROW_TYPES[column.kind] for column in table.columns}
    return arrow.concat_tables([arrow.schema(types.items()).empty_table(), *copy_rows(tables.connection, query, types)])
