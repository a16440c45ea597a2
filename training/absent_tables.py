"""Tables that a stage keeps in schema `public`: made when they are first needed, by whoever may make them.

A role that owns nothing finds them made by `python -m flows databases`, so it is asked first whether they are there:
`CREATE TABLE IF NOT EXISTS` needs the right to create even where it has nothing to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

from psycopg import Connection, errors
from psycopg.rows import TupleRow

from asof.errors import ConfigurationError

# Read from the catalogue itself: to_regclass may answer from what the session remembers, and a wait for a lock that is
# no table's does not make it forget.
KNOWN = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace AS schemas ON schemas.oid = relnamespace
    WHERE (nspname, relname) = (%s, %s))"""


def is_there(connection: Connection[TupleRow], table: str) -> bool:
    """Whether there is a table, view or index of that name with its schema, neither of them quoted."""
    return connection.execute(KNOWN, table.split(".")).fetchone() == (True,)


def make_absent(connection: Connection[TupleRow], table: str, statements: LiteralString) -> None:
    """Runs the statements unless the table is there, which they make last; of several processes one does.

    Raises ConfigurationError where our role may not make it.
    """
    if is_there(connection, table):
        return
    with may_make(connection, f"Table {table}"), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('asof makes ' || %s, 0))", (table,))
        if not is_there(connection, table):
            connection.execute(statements)


@contextmanager
def may_make(connection: Connection[TupleRow], what: str) -> Iterator[None]:
    """What needs the right to make `what`. Raises ConfigurationError where our role has it not."""
    try:
        yield
    except errors.InsufficientPrivilege:
        raise ConfigurationError(
            f"{what} is not in database {connection.info.dbname}, and user {connection.info.user} may not make it: "
            "run `python -m flows databases`, which makes what is absent and says who may use it."
        ) from None
