"""A snapshot table of an older version becomes the first partition of a partitioned one, without a copy of its rows."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from training.data.snapshots.months.schema import BEFORE, create_months

log = logging.getLogger("asof.progress")

LOCK_TIMEOUT = "10s"
"""For readers that are at work; others wait meanwhile."""
PLAIN = """
SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    AND pg_get_userbyid(relowner) = current_user AND relname = ANY(%s) ORDER BY relname"""
READING_VIEWS = """
SELECT DISTINCT ev_class::regclass::text FROM pg_depend
JOIN pg_rewrite ON pg_rewrite.oid = objid JOIN pg_class ON pg_class.oid = ev_class
WHERE refobjid = %s::regclass AND NOT starts_with(relnamespace::regnamespace::text, 'known_at_') ORDER BY 1"""
NEWEST = "SELECT max(as_of) FROM {whole}"
ADOPT = """
ALTER TABLE {whole} SET SCHEMA months;
ALTER TABLE {moved} RENAME TO {name};
CREATE TABLE {whole} (LIKE {part} INCLUDING ALL) PARTITION BY RANGE (as_of);
ALTER TABLE {whole} ATTACH PARTITION {part} FOR VALUES FROM (MINVALUE) TO ({end});
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {whole}
    FOR EACH STATEMENT EXECUTE FUNCTION public.asof_refuse_rewrite()"""
GRANTS = """
SELECT format('GRANT %%s ON %%s TO %%s', privilege_type, %(whole)s::text,
    CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)
FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = %(part)s::regclass AND grantee <> relowner
UNION ALL SELECT format('COMMENT ON TABLE %%s IS %%L', %(whole)s::text, obj_description(%(part)s::regclass))"""

Connection = psycopg.Connection[Any]


def plain_tables(connection: Connection, tables: list[str]) -> list[str]:
    """Those of the tables that are not partitioned, and are our role's."""
    return [name for (name,) in connection.execute(PLAIN, (tables,))]


def adopt_table(connection: Connection, table: str) -> None:
    """Within one load transaction. The rows are read once, to see that none is of a later month.

    A table that others read in a view is left as it is, since the view would go on reading the part, and one that
    readers hold for LOCK_TIMEOUT: each works as before, and the next call tries again.
    """
    whole = sql.Identifier("public", table).as_string(connection)
    if views := [name for (name,) in connection.execute(READING_VIEWS, (whole,))]:
        log.warning(
            "%s is not partitioned by month: drop the view %s, run the command again, and create the view again",
            *(table, ", ".join(views)),
        )
        return
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            _adopt(connection, table, whole)
    except psycopg.errors.LockNotAvailable:
        log.warning("%s is not partitioned by month yet: others read it; the next command tries again", table)
    except psycopg.errors.InsufficientPrivilege as refusal:
        log.warning("%s is not partitioned by month: %s", table, refusal.diag.message_primary)


def _adopt(connection: Connection, table: str, whole: str) -> None:
    create_months(connection)
    names = {"whole": sql.Identifier("public", table)}
    (newest,) = connection.execute(sql.SQL(NEWEST).format(**names)).fetchone() or (None,)
    end = next_month(newest.astimezone(UTC) if newest else datetime(1970, 1, 1, tzinfo=UTC))
    log.info("%s: partitioned by month from %s on", table, f"{end:%Y-%m}")
    part = f"{table}{BEFORE}{end:%Y_%m}"
    names |= {"moved": sql.Identifier("months", table), "part": sql.Identifier("months", part)}
    connection.execute(sql.SQL(ADOPT).format(name=sql.Identifier(part), end=sql.Literal(end), **names))
    values = {"whole": whole, "part": names["part"].as_string(connection)}
    for (statement,) in connection.execute(GRANTS, values).fetchall():
        connection.execute(statement.encode())


def next_month(moment: datetime) -> datetime:
    """The first moment of the month after that of a moment."""
    return (moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=31)).replace(day=1)
