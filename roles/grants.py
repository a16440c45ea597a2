"""Compares the privileges of our roles and PUBLIC with those that they should have.

Other roles, and what they own, are ignored.
"""

from collections.abc import Iterator
from itertools import groupby

from psycopg import sql

from roles.access import (
    DATABASES,
    KEPT,
    LEDGER_TABLES,
    MAKERS,
    MONTH_TABLES,
    MONTHS,
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

# Columns: kind, name, owner, grantor, grantee (0: PUBLIC), privilege, and whether it is grantable.
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
FROM pg_proc JOIN pg_namespace schema ON schema.oid = pronamespace,
    aclexplode(CASE WHEN nspname IN ('ledger', 'months') THEN coalesce(proacl, acldefault('f', proowner))
        ELSE proacl END) acl
WHERE grantee <> 0 OR nspname IN ('ledger', 'months')"""
DEFAULTS = """
SELECT CASE pg_get_userbyid(defaclrole) WHEN 'prefect' THEN 'DEFAULT OF PREFECT' ELSE 'DEFAULT' END kind,
    quote_ident(nspname) name, defaclrole owner, acl.*
FROM pg_default_acl JOIN pg_namespace schema ON schema.oid = defaclnamespace, aclexplode(defaclacl) acl
WHERE defaclobjtype = 'r' AND pg_get_userbyid(defaclrole) IN ('asof_ingest', 'prefect')"""
OF_OUR_ROLES = """
SELECT kind, name, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee)::text END, privilege_type,
    is_grantable
FROM ({}) granted WHERE grantee <> owner AND (grantee = 0 OR pg_get_userbyid(grantee) = ANY('{{{}}}'))"""
EXISTING = """
SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace schema ON schema.oid = relnamespace
UNION ALL SELECT pg_proc.oid::regprocedure::text FROM pg_proc
WHERE pronamespace IN (to_regnamespace('ledger'), to_regnamespace('months'))"""
ALWAYS = ("DATABASE", "SCHEMA")
"""The kinds whose objects exist before the tables are created."""
TABLES_IN = """
SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables WHERE schemaname = %s ORDER BY 1"""


def wrong_on_databases(connection: Connection, *, close_others: bool = False) -> Iterator[Deviation]:
    """On our databases, and of our roles on others; with `close_others` also CONNECT of PUBLIC on others."""
    granted = {
        each
        for each in _granted(connection, ON_DATABASES)
        if each.name in DATABASES or each.role != PUBLIC or (close_others and each.privilege == "CONNECT")
    }
    yield from _differences(granted, set(on_databases()))


def wrong_in_asof(connection: Connection, tables: Tables) -> Iterator[Deviation]:
    """On schemas and tables of database `asof`, and on future tables."""
    online = [name for (name,) in connection.execute(TABLES_IN, ["online"]).fetchall()]
    existing = {name for (name,) in connection.execute(EXISTING).fetchall()}
    wanted = {each for each in in_asof(tables, online) if each.kind in ALWAYS or each.name in existing}
    named = (
        *(f"public.{table}" for table in tables.privileges()),
        *(f"{KEPT}.{table}" for table in LEDGER_TABLES),
        *(f"{MONTHS}.{table}" for table in MONTH_TABLES),
    )
    yield from (Deviation(f"Table {name} is absent", None) for name in sorted(named) if name not in existing)
    yield from _differences(_granted(connection, INSIDE), wanted)
    yield from _differences(_granted(connection, DEFAULTS), set(in_future()))


def wrong_in_sister(connection: Connection, owner: str) -> Iterator[Deviation]:
    """In the database of MLflow or of Prefect."""
    tables = [name for (name,) in connection.execute(TABLES_IN, ["public"]).fetchall()]
    granted = _granted(connection, INSIDE) | _granted(connection, DEFAULTS)
    yield from _differences(granted, set(in_sister(owner, tables)))


def _granted(connection: Connection, query: str) -> set[Grant]:
    statement = OF_OUR_ROLES.format(query, ",".join(ROLES))
    return {Grant(*row) for row in connection.execute(statement.encode()).fetchall()}


def _differences(granted: set[Grant], wanted: set[Grant]) -> Iterator[Deviation]:
    """REVOKE first: a grant that is wrongly grantable is revoked, and granted again without the option."""
    for sign, verb, differing in (("has", "REVOKE", granted - wanted), ("lacks", "GRANT", wanted - granted)):
        in_order = sorted(differing, key=lambda each: (_without_privilege(each), each.privilege))
        for grant, privileges in groupby(in_order, key=_without_privilege):
            listed = ", ".join(each.privilege for each in privileges)
            yield Deviation(f"{grant.role} {sign} {_description(grant, listed)}", _statement(grant, listed, verb=verb))


def _without_privilege(grant: Grant) -> Grant:
    """Equal for all privileges of a role on an object."""
    return grant._replace(privilege="")


def _description(grant: Grant, privileges: str) -> str:
    place = f"future tables in schema {grant.name}" if grant.kind in MAKERS else f"{grant.kind.lower()} {grant.name}"
    return f"{privileges} on {place}{', with grant option' if grant.grantable else ''}"


def _statement(grant: Grant, privileges: str, *, verb: str) -> sql.Composed:
    """Names are quoted by PostgreSQL, or our own constants."""
    begin, thing = "", f"{grant.kind} {grant.name}"
    if maker := MAKERS.get(grant.kind):
        begin, thing = f"ALTER DEFAULT PRIVILEGES FOR ROLE {maker} IN SCHEMA {grant.name} ", "TABLES"
    role = sql.SQL(PUBLIC) if grant.role == PUBLIC else sql.Identifier(grant.role)
    to, end = ("TO", "") if verb == "GRANT" else ("FROM", " CASCADE")
    return sql.SQL(f"{begin}{verb} {privileges} ON {thing} {to} ") + role + sql.SQL(end)
