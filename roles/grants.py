"""What roles and PUBLIC have been granted, compared with what they should have.

Asked are our own roles and PUBLIC; other roles, and what they own, are left alone.
"""

from collections.abc import Iterator
from itertools import groupby

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
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL
SELECT 'ROUTINE', pg_proc.oid::regprocedure::text, proowner, acl.*
FROM pg_proc, aclexplode(proacl) acl WHERE grantee <> 0"""
DEFAULTS = f"""
SELECT 'DEFAULT' kind, quote_ident(nspname) name, defaclrole owner, acl.*
FROM pg_default_acl JOIN pg_namespace schema ON schema.oid = defaclnamespace, aclexplode(defaclacl) acl
WHERE defaclobjtype = 'r' AND pg_get_userbyid(defaclrole) = '{INGEST}'"""  # noqa: S608 - a constant
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


def _differences(granted: set[Grant], wanted: set[Grant]) -> Iterator[Deviation]:
    """What is too much first: a grant that may be passed on is taken back whole, and given anew without that."""
    for sign, verb, differing in (("has", "REVOKE", granted - wanted), ("lacks", "GRANT", wanted - granted)):
        in_order = sorted(differing, key=lambda each: (_apart(each), each.privilege))
        for one, privileges in groupby(in_order, key=_apart):
            listed = ", ".join(each.privilege for each in privileges)
            yield Deviation(f"{one.role} {sign} {_told(one, listed)}", _statement(one, listed, verb=verb))


def _apart(grant: Grant) -> Grant:
    """The same for all privileges of a role on a thing."""
    return grant._replace(privilege="")


def _told(grant: Grant, privileges: str) -> str:
    place = (
        f"tables to come in schema {grant.name}" if grant.kind == "DEFAULT" else f"{grant.kind.lower()} {grant.name}"
    )
    return f"{privileges} on {place}{', and may pass it on' if grant.passes_on else ''}"


def _statement(grant: Grant, privileges: str, *, verb: str) -> sql.Composed:
    """The names come quoted from PostgreSQL, or are our own."""
    begin, thing = "", f"{grant.kind} {grant.name}"
    if grant.kind == "DEFAULT":
        begin, thing = f"ALTER DEFAULT PRIVILEGES FOR ROLE {INGEST} IN SCHEMA {grant.name} ", "TABLES"
    role = sql.SQL(PUBLIC) if grant.role == PUBLIC else sql.Identifier(grant.role)
    to, end = ("TO", "") if verb == "GRANT" else ("FROM", " CASCADE")
    return sql.SQL(f"{begin}{verb} {privileges} ON {thing} {to} ") + role + sql.SQL(end)
