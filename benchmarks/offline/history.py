"""Writes months of StreamFlow snapshots into the real tables, in SQL: as large as the disk allows.

The tables are those that `training.data.snapshots.tables` makes, with their keys, indexes and triggers. As after
monthly loads, the rows of a month lie together, in the order of their keys; one user in fifty is corrected a day later.
"""

from datetime import UTC, date, datetime, time

import psycopg
from psycopg import sql

from asof.extracts.schema import RawTable
from asof.settings import Settings
from asof.use_cases import load
from training.data.snapshots.months.schema import require_month
from training.data.snapshots.tables import prepare_tables

FIRST = date(2023, 1, 31)

# Multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4), so that neighbours differ; n is the user,
# m the month, v the version of the row. Few values lie outside the training ranges of simulated users.
NOISE = "((n * 2654435761 + m * 40503 + v * 97 + {salt}) % 1000003)"
VALUES = {
    "signup_date": "date '2015-01-01' + (n % 2900)::int",
    "user_gender": "CASE WHEN n % 2 = 0 THEN 'Female' ELSE 'Male' END",
    "user_is_senior": "n % 6 = 0",
    "has_family": "n % 2 = 0",
    "has_dependents": "n % 3 = 0",
    "months_active": "n % 72 + m",
    "plan_stream_tv": "CASE WHEN n % 5 <> 0 THEN n % 3 = 0 END",
    "plan_stream_movies": "CASE WHEN n % 5 <> 0 THEN n % 4 = 0 END",
    "contract_type": "(ARRAY['Month-to-month', 'One year', 'Two year'])[1 + n % 3]",
    "paperless_billing": "n % 7 < 4",
    "monthly_fee": f"19 + {NOISE.format(salt=1)} / 11600.0",
    "total_paid": f"(n % 72 + m) * (19 + {NOISE.format(salt=1)} / 11600.0)",
    "net_service": "CASE WHEN n % 5 = 0 THEN 'No' WHEN n % 2 = 0 THEN 'DSL' ELSE 'Fiber optic' END",
    "watch_hours_30d": f"5 + {NOISE.format(salt=2)} / 21000.0",
    "avg_session_mins_7d": f"{NOISE.format(salt=3)} / 9000.0",
    "unique_devices_30d": f"1 + {NOISE.format(salt=4)} % 3",
    "skips_7d": f"{NOISE.format(salt=5)} % 17",
    "rebuffer_events_7d": f"{NOISE.format(salt=6)} % 12",
    "failed_payments_90d": f"greatest({NOISE.format(salt=7)} % 20 - 17, 0)",
    "support_tickets_90d": f"{NOISE.format(salt=8)} % 4",
    "ticket_avg_resolution_hrs_90d": f"CASE WHEN n % 11 <> 0 THEN {NOISE.format(salt=9)} / 20000.0 END",
    "churn_label": f"{NOISE.format(salt=10)} % 4 = 0",
}
USER = "to_char(n * 7919 % 10000, 'FM0000') || '-' || to_char(n, 'FM0000000')"
INSERT = """
INSERT INTO {table} ({entity}, as_of, created_at, {columns})
SELECT user_id, as_of, created_at, {values}
FROM (SELECT n, {user} AS user_id FROM generate_series(0::bigint, {users} - 1) AS n ORDER BY user_id) AS users,
     (VALUES (0), (1)) AS version (v),
     LATERAL (SELECT {month}::bigint AS m, {moment}::timestamptz AS as_of) AS described,
     LATERAL (SELECT as_of + v * interval '1 day' AS created_at) AS known
WHERE v = 0 OR n % 50 = {month}
ORDER BY v, user_id"""


def write_history(settings: Settings, *, users: int, months: int) -> None:
    """Fills the tables of the churn use case with `users` rows a month, and runs VACUUM ANALYZE.

    Keys and indexes are dropped and created again after the insertion, which is faster for millions of rows.
    """
    extract = load("churn").extract
    prepare_tables(settings, extract)
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '1GB'")
        for table in (*extract.tables, extract.labels):
            fill(connection, table, users=users, months=months)
            connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table.name)))


def last_day(month: int) -> date:
    """The end of a month of the history, counted from 0."""
    from asof.extracts.cadence import month_end

    return month_end(FIRST, month)


def fill(connection: psycopg.Connection, table: RawTable, *, users: int, months: int) -> None:
    """One table; its keys and indexes are dropped meanwhile."""
    with connection.transaction():
        indexes = connection.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), pg_get_constraintdef(pg_constraint.oid),"
            " conname FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid WHERE indrelid = %s::regclass",
            (table.name,),
        ).fetchall()
        for index, _, _, constraint in indexes:
            drop = f"ALTER TABLE {table.name} DROP CONSTRAINT {constraint}" if constraint else f"DROP INDEX {index}"
            connection.execute(drop)
        for month in range(months):
            require_month(connection, table.name, datetime.combine(last_day(month), time(), UTC))
            connection.execute(_insert(table, users, month))
        for _, definition, key, constraint in indexes:
            index = definition.replace(" ON ONLY ", " ON ")  # as PostgreSQL shows that of a partitioned table
            add = f"ALTER TABLE {table.name} ADD CONSTRAINT {constraint} {key}" if constraint else index
            connection.execute(add)


def _insert(table: RawTable, users: int, month: int) -> sql.Composed:
    entity, *columns = [column.name for column in table.columns]
    return sql.SQL(INSERT).format(
        table=sql.Identifier(table.name),
        entity=sql.Identifier(entity),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(sql.SQL(VALUES[name]) for name in columns),
        user=sql.SQL(USER),
        users=sql.Literal(users),
        month=sql.Literal(month),
        moment=sql.Literal(f"{last_day(month).isoformat()}T00:00:00Z"),
    )
