"""What retention has dropped: of a version's training set, of a moment of a table, and how many rows of a table."""

from datetime import UTC, datetime
from typing import Any

import psycopg

from training.data.snapshots.owned_tables import table_exists

TABLE = "months.dropped"
OF_RUN = "SELECT table_name, until, dropped_at, actor FROM months.dropped WHERE %s = ANY(breaks) ORDER BY 2, 1"
OF_MOMENT = """
SELECT table_name, until, dropped_at, actor FROM months.dropped WHERE table_name = %s AND %s >= since AND %s < until"""
ROWS = "SELECT coalesce(sum(rows), 0)::bigint FROM months.dropped WHERE table_name = %s"

Connection = psycopg.Connection[Any]


def dropped_of_run(connection: Connection, run_id: str) -> str:
    """A sentence on the rows that a run's model was trained on and that are gone; empty if none are."""
    return _sentence(connection, OF_RUN, (run_id,))


def dropped_moment(connection: Connection, table: str, moment: datetime) -> str:
    """A sentence on the dropped month of a table that had this moment; empty if it was not dropped."""
    return _sentence(connection, OF_MOMENT, (table, moment, moment))


def dropped_rows(connection: Connection, table: str) -> int:
    """How many rows were dropped from a table."""
    if not table_exists(connection, TABLE):
        return 0
    (rows,) = connection.execute(ROWS, (table,)).fetchone() or (0,)
    return int(rows)


def _sentence(connection: Connection, query: str, values: tuple[Any, ...]) -> str:
    if not table_exists(connection, TABLE):
        return ""
    parts = [
        f"{table} before {until.astimezone(UTC):%Y-%m} (on {at.astimezone(UTC):%Y-%m-%d} by {actor})"
        for table, until, at, actor in connection.execute(query.encode(), values)
    ]
    return f"`flows snapshots keep` dropped rows of {', '.join(parts)}." if parts else ""
