"""Tables of AsOf in schema `public`: created on first use, and owned by one use case each.

A role without the right to create uses the tables made by `python -m flows databases`. So their existence is checked
first: `CREATE TABLE IF NOT EXISTS` needs that right even if the table exists.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import LiteralString

from psycopg import Connection, errors, sql
from psycopg.rows import TupleRow

from asof.errors import ConfigurationError
from asof.extracts.schema import ExtractSchema

# From the catalogue, not by to_regclass: its cache is not cleared by waiting for an advisory lock.
EXISTS = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace AS schemas ON schemas.oid = relnamespace
    WHERE (nspname, relname) = (%s, %s))"""


def table_exists(connection: Connection[TupleRow], table: str) -> bool:
    """Whether there is a table, view or index of that name, given as `schema.name` without quotes."""
    return connection.execute(EXISTS, table.split(".")).fetchone() == (True,)


def views(connection: Connection[TupleRow]) -> frozenset[str]:
    """The views in schema `public`: a raw table that is one is used in place."""
    query = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'"
    return frozenset(name for (name,) in connection.execute(query))


def create_if_absent(connection: Connection[TupleRow], table: str, statements: LiteralString) -> None:
    """Runs the statements, which create the table last, unless it exists. Safe for several processes at once.

    Raises ConfigurationError if our role lacks the privilege.
    """
    if table_exists(connection, table):
        return
    with explain_missing_privilege(connection, f"Table {table}"), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('asof makes ' || %s, 0))", (table,))
        if not table_exists(connection, table):
            connection.execute(statements)


@contextmanager
def explain_missing_privilege(connection: Connection[TupleRow], what: str) -> Iterator[None]:
    """Raises ConfigurationError if our role lacks the privilege to create `what`."""
    try:
        yield
    except errors.InsufficientPrivilege:
        raise ConfigurationError(
            f"{what} is not in database {connection.info.dbname}, and user {connection.info.user} may not create it: "
            "run `python -m flows databases`, which creates what is missing and grants the rights."
        ) from None


OWNER_COMMENT = "AsOf use case: "
COMMENTS = """
SELECT relname, obj_description(oid, 'pg_class'), pg_has_role(relowner, 'USAGE'), relkind = 'v' FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%s) ORDER BY relname"""
MARKED = """
SELECT relname::text FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND obj_description(oid, 'pg_class') = ANY(%s) ORDER BY 1"""


def require_own_tables(connection: Connection[TupleRow], schema: ExtractSchema) -> None:
    """Raises ConfigurationError if a table of the schema belongs to another use case."""
    ours = f"{OWNER_COMMENT}{schema.use_case}"
    for table, comment, *_ in _comments(connection, schema):
        if comment and comment.startswith(OWNER_COMMENT) and schema.use_case and comment != ours:
            raise ConfigurationError(
                f"Table public.{table} belongs to use case {comment.removeprefix(OWNER_COMMENT)!r}, and "
                f"{schema.use_case!r} has a raw table of that name. Rename one of them, or set ASOF_POSTGRES_URL to "
                f"another database. If the use case was renamed: COMMENT ON TABLE public.{table} IS '{ours}'."
            )


def tables_owned_by(connection: Connection[TupleRow], use_cases: Sequence[str]) -> list[str]:
    """The tables of schema `public` that are marked as those of these use cases."""
    marks = [f"{OWNER_COMMENT}{name}" for name in use_cases]
    return [name for (name,) in connection.execute(MARKED, (marks,))]


def claim_tables(connection: Connection[TupleRow], schema: ExtractSchema) -> None:
    """Marks the schema's tables as its use case's, if our role owns them and they have no comment."""
    for table, comment, ours, view in _comments(connection, schema):
        if comment is None and ours and schema.use_case:
            statement = sql.SQL("COMMENT ON {} {} IS {}")
            owner = sql.Literal(f"{OWNER_COMMENT}{schema.use_case}")
            what = sql.SQL("VIEW" if view else "TABLE")
            connection.execute(statement.format(what, sql.Identifier("public", table), owner))


def _comments(connection: Connection[TupleRow], schema: ExtractSchema) -> list[TupleRow]:
    names = [table.name for table in (*schema.tables, schema.labels)]
    return connection.execute(COMMENTS, (names,)).fetchall()
