"""What roles and PUBLIC have been granted, compared with what they should have.

Asked are our own roles and PUBLIC; other roles, and what they own, are left alone.
"""

from collections.abc import Iterable, Iterator

from psycopg import sql

from roles.access import (
    DATABASES,
    INGEST,
    PUBLIC,
    ROLES,
    Grant,
    Tables,
    in_asof,
    in_future,
    in_sister,
    on_databases,
)
from roles.deviation import Connection, Deviation

# Each has kind, name, owner, grantee (0: PUBLIC), privilege, and whether it may be passed on.
ON_DATABASES = """
SELECT 'DATABASE' kind, quote_ident(datname) name, datdba owner, acl.*
FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) acl WHERE datallowconn"""
INSIDE = """
SELECT 'SCHEMA' kind, quote_ident(nspname) name, nspowner owner, acl.*
FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) acl
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL
SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, format('%I.%I', nspname, relname), relowner, acl.*
FROM pg_class JOIN pg_namespace schema ON schema.oid = relnamespace, aclexplode(relacl) acl
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL
SELECT 'TABLE', format('%I.%I', nspname, relname), relowner, grantor, grantee,
    format('%s (%I)', privilege_type, attname), is_grantable
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace schema ON schema.oid = relnamespace,
    aclexplode(attacl)
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"""
DEFAULTS = (
    """
SELECT 'DEFAULT' kind, nspname::text name, defaclrole owner, acl.*
FROM pg_default_acl JOIN pg_namespace schema ON schema.oid = defaclnamespace, aclexplode(defaclacl) acl
WHERE defaclobjtype = 'r' AND pg_get_userbyid(defaclrole) = '"""
    + INGEST
    + "'"
)
OF_OURS = """
SELECT kind, name, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee)::text END, privilege_type,
    is_grantable
FROM ({}) granted WHERE grantee <> owner AND (grantee = 0 OR pg_get_userbyid(grantee) = ANY('{{{}}}'))"""
ONLINE_TABLES = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'online' ORDER BY 1"""


def wrong_on_databases(connection: Connection, *, close_others: bool = False) -> Iterator[Deviation]:
    """On our databases, and of our roles on others; with `close_others` PUBLIC's CONNECT to those, too."""
    told = {
        each
        for each in _granted(connection, ON_DATABASES)
        if each.name in DATABASES or each.role != PUBLIC or (close_others and each.privilege == "CONNECT")
    }
    yield from _differences(told, set(on_databases()))


def wrong_in_asof(connection: Connection, tables: Tables) -> Iterator[Deviation]:
    """On schemas and tables of database `asof`, and on those to come."""
    online = [name for (name,) in connection.execute(ONLINE_TABLES).fetchall()]
    there = _there(connection)
    wanted = {each for each in in_asof(tables, online) if each.kind != "TABLE" or each.name in there}
    yield from (
        Deviation(f"Table public.{table} is absent", None)
        for table in sorted(tables.readers_and_writers())
        if f"public.{table}" not in there
    )
    yield from _differences(_granted(connection, INSIDE), wanted)
    yield from _differences(_granted(connection, DEFAULTS), set(in_future()))


def wrong_in_sister(connection: Connection, owner: str) -> Iterator[Deviation]:
    """On everything in the database of MLflow or of Prefect."""
    yield from _differences(_granted(connection, INSIDE), set(in_sister(owner)))


def _granted(connection: Connection, query: str) -> set[Grant]:
    statement = OF_OURS.format(query, ",".join(ROLES))
    return {Grant(*row) for row in connection.execute(statement.encode()).fetchall()}


def _there(connection: Connection) -> set[str]:
    query = b"SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace s ON s.oid = relnamespace"
    return {name for (name,) in connection.execute(query).fetchall()}


def _differences(granted: Iterable[Grant], wanted: set[Grant]) -> Iterator[Deviation]:
    granted = set(granted)
    for each in sorted(granted - wanted):
        yield Deviation(f"{each.role} has {_told(each)}", _statement(each, "REVOKE", "FROM"))
    for each in sorted(wanted - granted):
        yield Deviation(f"{each.role} lacks {_told(each)}", _statement(each, "GRANT", "TO"))


def _told(grant: Grant) -> str:
    place = (
        f"tables to come in schema {grant.name}" if grant.kind == "DEFAULT" else f"{grant.kind.lower()} {grant.name}"
    )
    return f"{grant.privilege} on {place}{', and may pass it on' if grant.passes_on else ''}"


def _statement(grant: Grant, verb: str, to: str) -> sql.Composed:
    """The names come quoted from PostgreSQL, or are our own."""
    role = sql.SQL(PUBLIC) if grant.role == PUBLIC else sql.Identifier(grant.role)
    if grant.kind == "DEFAULT":
        begin = f"ALTER DEFAULT PRIVILEGES FOR ROLE {INGEST} IN SCHEMA {grant.name} {verb} {grant.privilege} ON TABLES"
    else:
        begin = f"{verb} {grant.privilege} ON {grant.kind} {grant.name}"
    end = sql.SQL(" CASCADE" if verb == "REVOKE" else "")
    return sql.SQL(f"{begin} {to} ") + role + end
