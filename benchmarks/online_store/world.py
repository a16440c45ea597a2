"""Writes two months of StreamFlow snapshots, and a later day on which one user in a hundred has new rows."""

from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql

from asof.settings import Settings, export
from asof.use_cases import load
from benchmarks.offline.history import last_day, write_history
from training.data.snapshots.months.schema import require_month

MONTHS = 2
BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
NEWEST = datetime.combine(last_day(MONTHS - 1), datetime.min.time(), UTC)
NEXT = NEWEST + timedelta(days=1)
"""Every user has rows up to NEWEST; one in a hundred has rows of NEXT."""

CHANGED = """
INSERT INTO {table} ({entity}, as_of, created_at, {columns})
SELECT DISTINCT ON ({entity}) {entity}, {next}, {next}, {columns} FROM {table}
WHERE as_of < {newest} AND abs(hashtext({entity})) % 100 = 0 ORDER BY {entity}, as_of DESC"""


def write_world(settings: Settings, users: int) -> None:
    """Fills the database and registers the features."""
    from training.features.materialisation.feature_registry import apply_features

    export(settings)
    write_history(settings, users=users, months=MONTHS)
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        for table in load("churn").extract.tables:
            require_month(connection, table.name, NEXT)
            entity, *columns = [column.name for column in table.columns]
            connection.execute(
                sql.SQL(CHANGED).format(
                    table=sql.Identifier(table.name),
                    entity=sql.Identifier(entity),
                    columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
                    next=sql.Literal(NEXT),
                    newest=sql.Literal(NEWEST),
                )
            )
    apply_features(settings)
