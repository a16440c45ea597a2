"""A snapshot table of 24 months, a partition for each, beside the same rows in one table; and scores of 12 runs in one
table, as they are, beside a partition for each run.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time
from time import perf_counter
from typing import Any

import psycopg

from asof.settings import Settings
from asof.use_cases import load
from benchmarks.offline.history import fill, last_day
from training.data.snapshots.months.schema import require_month
from training.data.snapshots.tables import prepare_tables
from training.scoring.postgres import create_tables

MONTHS, ROUNDS = 24, 3
EXTRACT = load("churn").extract
TABLE = next(table for table in EXTRACT.tables if table.name == "usage_agg_30d")
PARTITIONED, PLAIN = TABLE.name, "as_one_table"

# As `training.features.datasets` joins one view, of the users of the last month.
PLANNING = {"enable_seqscan": "off", "enable_bitmapscan": "off", "jit": "off", "max_parallel_workers_per_gather": "0"}
LOOKUPS = """
SELECT count(newest.watch_hours_30d) FROM (SELECT DISTINCT user_id FROM {table} WHERE as_of = '{last}Z') AS users,
LATERAL (SELECT watch_hours_30d FROM {table} WHERE user_id = users.user_id AND as_of <= '{last}Z'
    ORDER BY as_of DESC, created_at DESC LIMIT 1) AS newest"""
ONE_MORE_MONTH = """
INSERT INTO {table} SELECT user_id, '{next}Z', '{next}Z', {columns} FROM {table}
WHERE as_of = '{last}Z' AND created_at = as_of ORDER BY user_id"""
SCORES, BY_RUN, RUNS = "scored_users", "by_run", 12
ONE_MORE_RUN = """
INSERT INTO {table} (scoring_run, entity, probability, label, flags, moments, scored_at)
SELECT {run}, to_char(n * 7919 % 10000, 'FM0000') || '-' || to_char(n, 'FM0000000'), random(), n % 4 = 0, '[]',
    '{{"payments_agg_90d_fv": "2024-06-30T00:00:00Z", "usage_agg_30d_fv": "2024-06-30T00:00:00Z"}}', now()
FROM generate_series(1, {users}) AS n ORDER BY 2"""
BYTES = """
SELECT sum(pg_table_size(relid)), sum(pg_indexes_size(relid)) FROM pg_partition_tree(%(table)s)
UNION ALL SELECT pg_table_size(%(table)s), pg_indexes_size(%(table)s) ORDER BY 1 DESC NULLS LAST LIMIT 1"""


def measure_partitions(settings: Settings, users: int) -> Iterator[dict[str, Any]]:
    """Bytes a row; seconds and pages for one lookup of each user; seconds and log of one more month."""
    prepare_tables(settings, EXTRACT)
    with psycopg.connect(settings.conninfo(**PLANNING), autocommit=True) as connection:
        fill(connection, TABLE, users=users, months=MONTHS)
        require_month(connection, PARTITIONED, datetime.combine(last_day(MONTHS), time(), UTC))
        connection.execute(f"CREATE TABLE {PLAIN} (LIKE {PARTITIONED} INCLUDING ALL)".encode())
        connection.execute(
            f"INSERT INTO {PLAIN} SELECT * FROM {PARTITIONED} ORDER BY as_of, created_at, user_id".encode()
        )
        for table in (PLAIN, PARTITIONED):
            connection.execute(f"VACUUM ANALYZE {table}".encode())
            yield {"users": users, "table": table, **_measure(connection, table)}


def measure_scores(settings: Settings, users: int) -> Iterator[dict[str, Any]]:
    """Seconds and log of one more run, and of deleting the oldest; seconds to read one."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        create_tables(connection)
        connection.execute(
            f"CREATE TABLE {BY_RUN} (LIKE {SCORES} INCLUDING ALL) PARTITION BY LIST (scoring_run)".encode()
        )
        for run in range(RUNS + 1):
            connection.execute(f"CREATE TABLE run_{run} PARTITION OF {BY_RUN} FOR VALUES IN ({run})".encode())
        for table, gone in ((SCORES, f"DELETE FROM {SCORES} WHERE scoring_run = 0"), (BY_RUN, "DROP TABLE run_0")):
            for run in range(RUNS):
                connection.execute(ONE_MORE_RUN.format(table=table, run=run, users=users).encode())
            connection.execute(f"VACUUM ANALYZE {table}".encode())
            more = _changed(connection, ONE_MORE_RUN.format(table=table, run=RUNS, users=users))
            read = f"SELECT count(probability), max(entity) FROM {table} WHERE scoring_run = {RUNS // 2}"
            seconds = min(_seconds(connection, read) for _ in range(ROUNDS))
            deleted = _changed(connection, gone)
            yield (
                {"users": users, "table": table}
                | dict(zip(("one more run s", "log MB", "gone s", "its log MB"), (*more, *deleted), strict=True))
                | {"read one run s": round(seconds, 2)}
            )


def _measure(connection: psycopg.Connection, table: str) -> dict[str, Any]:
    names = {"table": table, "last": last_day(MONTHS - 1), "next": last_day(MONTHS)}
    columns = ", ".join(column.name for column in TABLE.columns[1:])
    lookups, more = LOOKUPS.format(**names), ONE_MORE_MONTH.format(**names, columns=columns)
    (rows,) = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() or (0,)
    heap, index = connection.execute(BYTES, {"table": table}).fetchone() or (0, 0)
    looked_up = min(_seconds(connection, lookups) for _ in range(ROUNDS))
    pages = _pages(connection, lookups)
    loaded, log = _changed(connection, more)
    return {
        "bytes a row": round(heap / rows),
        "of indexes": round(index / rows),
        "lookups s": round(looked_up, 2),
        "pages": pages,
        "one more month s": loaded,
        "log MB": log,
    }


def _changed(connection: psycopg.Connection, statement: str) -> tuple[float, int]:
    """Seconds of a change, and megabytes of the log, in which each page comes whole once after a checkpoint."""
    connection.execute("CHECKPOINT")
    before = _written(connection)
    seconds = _seconds(connection, statement)
    return round(seconds, 2), round((_written(connection) - before) / 1e6)


def _seconds(connection: psycopg.Connection, statement: str) -> float:
    begun = perf_counter()
    connection.execute(statement.encode())
    return perf_counter() - begun


def _pages(connection: psycopg.Connection, query: str) -> int:
    plan = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {query}".encode()).fetchall()
    found = re.search(r"shared hit=(\d+)(?: read=(\d+))?", plan[1][0])
    return sum(int(each or 0) for each in found.groups()) if found else 0


def _written(connection: psycopg.Connection) -> float:
    (position,) = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone() or (0,)
    return float(position)
