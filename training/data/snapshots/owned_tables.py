"""Tables that a stage keeps in schema `public`: made when they are first needed, by whoever may make them.

A role that owns nothing finds them made by `python -m flows databases`, so it is asked first whether they are there:
`CREATE TABLE IF NOT EXISTS` needs the right to create even where it has nothing to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

from psycopg import Connection, errors, sql
from psycopg.rows import TupleRow

from asof.errors import ConfigurationError
from asof.extract_schema import ExtractSchema

# Read from the catalogue itself: to_regclass may answer from what the session remembers, and a wait for a lock that is
# no table's does not make it forget.
KNOWN = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace AS schemas ON schemas.oid = relnamespace
    WHERE (nspname, relname) = (%s, %s))"""


def table_exists(connection: Connection[TupleRow], table: str) -> bool:
    """Whether there is a table, view or index of that name with its schema, neither of them quoted."""
    return connection.execute(KNOWN, table.split(".")).fetchone() == (True,)


def create_if_absent(connection: Connection[TupleRow], table: str, statements: LiteralString) -> None:
    """Runs the statements unless the table is there, which they make last; of several processes one does.

    Raises ConfigurationError where our role may not make it.
    """
    if table_exists(connection, table):
        return
    with explain_missing_privilege(connection, f"Table {table}"), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('asof makes ' || %s, 0))", (table,))
        if not table_exists(connection, table):
            connection.execute(statements)


@contextmanager
def explain_missing_privilege(connection: Connection[TupleRow], what: str) -> Iterator[None]:
    """What needs the right to make `what`. Raises ConfigurationError where our role has it not."""
    try:
        yield
    except errors.InsufficientPrivilege:
        raise ConfigurationError(
            f"{what} is not in database {connection.info.dbname}, and user {connection.info.user} may not make it: "
            "run `python -m flows databases`, which makes what is absent and says who may use it."
        ) from None


OWNER = "AsOf use case: "


COMMENTS = """
SELECT relname, obj_description(oid, 'pg_class'), pg_has_role(relowner, 'USAGE') FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%s) ORDER BY relname"""


def require_own_tables(connection: Connection[TupleRow], schema: ExtractSchema) -> None:
    """Raises ConfigurationError where a table of the schema belongs to another use case, naming both."""
    for table, comment, _ in _comments(connection, schema):
        if comment and comment.startswith(OWNER) and schema.use_case and comment != f"{OWNER}{schema.use_case}":
            raise ConfigurationError(
                f"Table public.{table} belongs to use case {comment.removeprefix(OWNER)!r}, and {schema.use_case!r} "
                "has a raw table of that name: rename those of one of them, or set ASOF_POSTGRES_URL to another "
                f"database. If the use case was renamed: COMMENT ON TABLE public.{table} IS '{OWNER}{schema.use_case}'."
            )


def claim(connection: Connection[TupleRow], schema: ExtractSchema) -> None:
    """The tables of the schema that have no comment become its use case's, as far as our role owns them."""
    for table, comment, ours in _comments(connection, schema):
        if comment is None and ours and schema.use_case:
            statement = sql.SQL("COMMENT ON TABLE {} IS {}")
            owner = sql.Literal(f"{OWNER}{schema.use_case}")
            connection.execute(statement.format(sql.Identifier("public", table), owner))


def _comments(connection: Connection[TupleRow], schema: ExtractSchema) -> list[TupleRow]:
    names = [table.name for table in (*schema.tables, schema.labels)]
    return connection.execute(COMMENTS, (names,)).fetchall()
