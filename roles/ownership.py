"""Databases, schemas, relations, functions and types with a wrong owner."""

from collections.abc import Iterator

from psycopg import sql

from roles.access import DATABASES, INGEST, KEPT, MONTHS, ONLINE, OWNER, Tables
from roles.deviation import Connection, Deviation

# Sequences of a column and members of an extension have the owner of what they belong to; partitions have their own.
BELONGS = """
EXISTS (SELECT FROM pg_depend
    WHERE classid = {}::regclass AND objid = {}.oid AND objsubid = 0 AND deptype IN ('a', 'i', 'e'))"""
OTHERS = f"""
SELECT 'TABLE', format('%%I.%%I', nspname, relname) FROM pg_class JOIN pg_namespace schema ON schema.oid = relnamespace
WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND nspname = %(schema)s AND pg_get_userbyid(relowner) <> %(owner)s
    AND (%(names)s::text[] IS NULL OR relname = ANY(%(names)s))
    AND (relispartition OR NOT {BELONGS.format("'pg_class'", "pg_class")})
UNION ALL
SELECT 'FUNCTION', pg_proc.oid::regprocedure::text FROM pg_proc JOIN pg_namespace schema ON schema.oid = pronamespace
WHERE prokind = 'f' AND nspname = %(schema)s AND pg_get_userbyid(proowner) <> %(owner)s
    AND (%(names)s::text[] IS NULL OR starts_with(proname, 'asof_')) AND NOT {BELONGS.format("'pg_proc'", "pg_proc")}
UNION ALL
SELECT 'TYPE', format('%%I.%%I', nspname, typname) FROM pg_type JOIN pg_namespace schema ON schema.oid = typnamespace
WHERE typtype IN ('e', 'd') AND nspname = %(schema)s AND pg_get_userbyid(typowner) <> %(owner)s
    AND %(names)s::text[] IS NULL AND NOT {BELONGS.format("'pg_type'", "pg_type")}
ORDER BY 1, 2"""  # noqa: S608 - constants only
DATABASE = """
SELECT datname, pg_get_userbyid(datdba), EXISTS (
    SELECT FROM pg_db_role_setting
    WHERE setdatabase = pg_database.oid AND setrole = 0 AND 'TimeZone=UTC' = ANY(setconfig)
) FROM pg_database WHERE datname = ANY(%s) ORDER BY 1"""
SCHEMA = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = %s"


def wrong_owners(connection: Connection, tables: Tables) -> Iterator[Deviation]:
    """In database `asof`: OWNER owns the tables of `public`, the ledger and the months, and the ingest role the online
    store.
    """
    names = [*tables.privileges()]
    yield from _owned_by_others(connection, "public", OWNER, names)
    for schema, owner in ((ONLINE, INGEST), (KEPT, OWNER), (MONTHS, OWNER)):
        row = connection.execute(SCHEMA, [schema]).fetchone()
        parts = map(sql.Identifier, (schema, owner))
        if row is None:
            yield Deviation(f"Schema {schema} is absent", sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(*parts))
        elif row != (owner,):
            yield Deviation(f"Schema {schema} is {row[0]}'s", sql.SQL("ALTER SCHEMA {} OWNER TO {}").format(*parts))
        yield from _owned_by_others(connection, schema, owner, None)


def wrong_owners_in_sister(connection: Connection, owner: str) -> Iterator[Deviation]:
    """In the databases of MLflow and Prefect, whose roles own everything in `public`."""
    yield from _owned_by_others(connection, "public", owner, None)


def wrong_databases(connection: Connection) -> Iterator[Deviation]:
    """Our databases with another owner or time zone."""
    for name, owner, in_utc in connection.execute(DATABASE, [[*DATABASES]]).fetchall():
        if owner != DATABASES[name]:
            parts = map(sql.Identifier, (name, DATABASES[name]))
            yield Deviation(f"Database {name} is {owner}'s", sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*parts))
        if not in_utc:
            zone = sql.SQL("ALTER DATABASE {} SET timezone TO 'UTC'").format(sql.Identifier(name))
            yield Deviation(f"Database {name} is not set to UTC", zone)


def _owned_by_others(connection: Connection, schema: str, owner: str, names: list[str] | None) -> Iterator[Deviation]:
    """Of all objects of a schema, or only of the named tables and our own functions."""
    rows = connection.execute(OTHERS, {"schema": schema, "owner": owner, "names": names}).fetchall()
    for kind, name in rows:
        change = sql.SQL(f"ALTER {kind} {name} OWNER TO ") + sql.Identifier(owner)
        yield Deviation(f"{kind.capitalize()} {name} is not {owner}'s", change)
