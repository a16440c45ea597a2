"""Which use case a snapshot table belongs to: kept as the table's comment, and looked at before it is read or written.

Two use cases of one checkout are compared when they are loaded; this is for those of two checkouts on one database.
"""

from psycopg import Connection, sql
from psycopg.rows import TupleRow

from asof.errors import ConfigurationError
from asof.extract_schema import ExtractSchema

OWNER = "AsOf use case: "
COMMENTS = """
SELECT relname, obj_description(oid, 'pg_class'), pg_has_role(relowner, 'USAGE') FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%s) ORDER BY relname"""


def refuse_foreign(connection: Connection[TupleRow], schema: ExtractSchema) -> None:
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
