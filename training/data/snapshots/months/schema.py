"""The schema `months`: the partitions of the snapshot tables, what makes one, and which were dropped.

Readers name the table in schema `public`, and need no rights on a partition. There is no default partition: to make a
month beside one, its rows would be read under a lock that no reader passes.
"""

from datetime import datetime
from typing import Any, LiteralString

import psycopg

from asof.errors import HistoryError

PARTITIONED_BY: LiteralString = " PARTITION BY RANGE (as_of)"
BEFORE = "_before_"
"""In the name of the partition that a table of an older version has become: it ends before the month that follows."""

MAKE_MONTH: LiteralString = """
CREATE OR REPLACE FUNCTION months.make_month(parent text, moment timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $body$
DECLARE month timestamp := date_trunc('month', moment); name text := parent || to_char(month, '_YYYY_MM');
    whole oid := to_regclass(format('public.%I', parent));
BEGIN
    IF moment > now() + interval '1 month' THEN
        RAISE EXCEPTION '% lies in the future', moment USING ERRCODE = 'check_violation';
    ELSIF EXISTS (SELECT FROM months.dropped WHERE table_name = parent AND moment >= since AND moment < until) THEN
        RETURN false;
    ELSIF EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = whole) AND NOT EXISTS (
        SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = whole AND (relname = name
            OR relname ~ '_before_[0-9]{4}_[0-9]{2}$' AND month < to_timestamp(right(relname, 7), 'YYYY_MM'))
    ) THEN
        EXECUTE format('CREATE TABLE months.%I (LIKE public.%I INCLUDING ALL)', name, parent);
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON months.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION public.asof_refuse_rewrite()', name);
        EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION months.%I FOR VALUES FROM (%L) TO (%L)',
            parent, name, month::timestamptz, (month + interval '1 month')::timestamptz);
    END IF;
    RETURN true;
END $body$"""
"""Makes the partition of a moment unless it is there; false where retention has dropped that month.

A loader's role may create no table. A table is made and attached: PARTITION OF would wait for every reader. A partition
has a trigger of its own, because that of the whole table does not see a statement that names the partition.
"""
CREATE: LiteralString = f"""
CREATE SCHEMA IF NOT EXISTS months;
CREATE TABLE IF NOT EXISTS months.dropped (
    table_name text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    rows bigint NOT NULL,
    breaks text[] NOT NULL,
    actor text NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (table_name, until)
);
{MAKE_MONTH};
REVOKE EXECUTE ON FUNCTION months.make_month(text, timestamptz) FROM PUBLIC"""
"""`dropped`: what retention has dropped, from `since` to before `until`; `breaks` are the runs of the versions that can
not be reproduced without it."""

IS_PARTITIONED = "SELECT FROM pg_partitioned_table WHERE partrelid = to_regclass(%s)"


def create_months(connection: psycopg.Connection[Any]) -> None:
    """Creates the schema with what is absent of it."""
    connection.execute(CREATE)


def require_month(connection: psycopg.Connection[Any], table: str, moment: datetime) -> None:
    """Makes the partition for rows of a moment; a table of an older version needs none.

    Raises HistoryError where retention has dropped the month.
    """
    if connection.execute(IS_PARTITIONED, (f"public.{table}",)).fetchone() is None:
        return
    if connection.execute("SELECT months.make_month(%s, %s)", (table, moment)).fetchone() != (True,):
        raise HistoryError(
            f"The month of {moment.isoformat()} was dropped from {table} by `flows snapshots keep`: it takes no rows "
            "any more. Leave this delivery out; nothing was loaded."
        )
