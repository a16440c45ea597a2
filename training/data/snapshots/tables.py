"""ExtractSchema -> append-only tables with two times in PostgreSQL's schema `public`, and the table `loads`.

A table that is used in place has a view instead.

A row is keyed by (keys..., as_of, created_at): the moment that it describes, and the moment when it was known. Tables
are partitioned by the month of `as_of` (`training.data.snapshots.months`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from asof.errors import ConfigurationError
from asof.extracts.schema import ExtractSchema, Kind, RawTable
from asof.extracts.sources import InPlace
from asof.settings import Settings
from training.data.snapshots.in_place import use_in_place
from training.data.snapshots.months.adoption import adopt_table, plain_tables
from training.data.snapshots.months.schema import PARTITIONED_BY, create_months
from training.data.snapshots.owned_tables import claim_tables, explain_missing_privilege, require_own_tables

Connection = psycopg.Connection[TupleRow]

SQL_TYPES = {
    Kind.TEXT: "text",
    Kind.INTEGER: "bigint",
    Kind.NUMBER: "double precision",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.UUID: "uuid",
}
TIMES = dict.fromkeys(("as_of", "created_at"), "timestamp with time zone")

CREATE_LOADS = """
CREATE TABLE public.loads (
    load_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    folder text NOT NULL,
    as_of timestamptz NOT NULL,
    known_at timestamptz NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    code_version text NOT NULL,
    files jsonb NOT NULL
)
"""


NEW_ROWS = """coalesce((
    SELECT sum((facts ->> 'new_rows')::bigint) FROM jsonb_each(files) AS each(file, facts)
    WHERE split_part(file, '.', 1) = %(table)s
), 0)"""
"""How many rows a load added to a raw table, whatever its file is called."""

REFUSE_REWRITE = """
CREATE OR REPLACE FUNCTION public.asof_refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME <> 'loads' AND current_setting('asof.erasing', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% of table % is refused: it is append-only; load a correction with a later known_at',
        TG_OP, TG_TABLE_NAME;
END $$
"""
"""Only `flows erase` deletes rows, and says so in its session; of the roles, only asof_erasure may."""
KNOWS_ERASURE = """
SELECT prosrc LIKE '%asof.erasing%' FROM pg_proc
WHERE oid = to_regproc('public.asof_refuse_rewrite') AND pg_has_role(proowner, 'USAGE')"""

PRIMARY_KEY = """
SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
WHERE indisprimary AND indrelid = to_regclass(%s)"""

LOAD_LOCK = 0x41734F66
"""Key of the advisory lock that serialises loads ("AsOf")."""


def prepare_tables(settings: Settings, schema: ExtractSchema) -> None:
    """Creates the missing tables, and partitions those of an older version, each in a transaction of its own.

    Safe to repeat, and for several processes at once. Raises ConfigurationError if a table has other columns, or
    belongs to another use case.
    """
    names = [table.name for table in (*schema.tables, schema.labels)]
    with load_transaction(settings) as connection:
        create_tables(connection, schema)
        plain = plain_tables(connection, names)
    for name in plain:
        with load_transaction(settings) as connection:
            if plain_tables(connection, [name]):
                adopt_table(connection, name)


@contextmanager
def load_transaction(settings: Settings) -> Iterator[Connection]:
    """A transaction, serialised with every other load; an error rolls it back.

    So loads are committed in the order of their ids: a reader that sees one sees all before it.
    """
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOAD_LOCK,))
        yield connection


def create_tables(connection: Connection, schema: ExtractSchema) -> None:
    """As `prepare_tables`, within a `load_transaction`."""
    require_own_tables(connection, schema)
    tables = (*schema.tables, schema.labels)
    for table in tables:
        if isinstance(table.source, InPlace):
            use_in_place(connection, table.name, table.source, value_types(table))
    absent = [table for table in tables if not _has_table(connection, table)]
    with explain_missing_privilege(connection, f"Table public.{absent[0].name if absent else 'loads'}"):
        if absent or connection.execute(KNOWS_ERASURE).fetchone() == (False,):
            connection.execute(REFUSE_REWRITE)
        if absent:
            create_months(connection)
        for table in absent:
            _create(connection, table)
        if not _columns(connection, "loads"):
            connection.execute(CREATE_LOADS)
            _make_append_only(connection, "loads")
    claim_tables(connection, schema)


def value_types(table: RawTable) -> dict[str, str]:
    """The columns of a source, with their PostgreSQL types."""
    return {column.name: SQL_TYPES[column.kind] for column in table.columns}


def column_definitions(types: Mapping[str, str]) -> sql.Composed:
    """Columns with their types, as in `CREATE TABLE`."""
    return sql.SQL(", ").join(sql.Identifier(name) + sql.SQL(" ") + sql.SQL(types[name]) for name in types)


def _has_table(connection: Connection, table: RawTable) -> bool:
    actual = _columns(connection, table.name)
    expected = value_types(table) | TIMES
    if actual and actual != expected:
        names = sorted({name for name, _ in actual.items() ^ expected.items()})
        raise ConfigurationError(
            f"Table public.{table.name} is not the schema's: {', '.join(names)} differ. If another program or checkout "
            "created it, rename the raw table, or set ASOF_POSTGRES_URL to another database. If the extract has "
            "changed, ALTER TABLE it by hand."
        )
    _require_primary_key(connection, table)
    return bool(actual)


def _require_primary_key(connection: Connection, table: RawTable) -> None:
    actual = {name for (name,) in connection.execute(PRIMARY_KEY, (f"public.{table.name}",))}
    keys = [key.name for key in table.key_columns]
    if actual and actual != {*keys, *TIMES}:
        raise ConfigurationError(
            f"Table public.{table.name} is keyed by {', '.join(sorted(actual - {*TIMES}))}, and the schema by "
            f"{', '.join(keys)}. Rename the raw table, and ingest its deliveries again."
        )


def _columns(connection: Connection, table: str) -> dict[str, str]:
    query = "SELECT column_name, data_type FROM information_schema.columns WHERE (table_schema, table_name) = (%s, %s)"
    return dict(connection.execute(query, ("public", table)).fetchall())


def _create(connection: Connection, table: RawTable) -> None:
    types, keys = value_types(table), [key.name for key in table.key_columns]
    names = {
        "table": sql.Identifier("public", table.name),
        "columns": column_definitions({key: types[key] for key in keys} | TIMES | types),
        "keys": sql.SQL(", ").join(map(sql.Identifier, keys)),
        "index": sql.Identifier(f"{table.name}_as_of_created_at"),
    }
    connection.execute(
        sql.SQL("CREATE TABLE {table} ({columns}, PRIMARY KEY ({keys}, as_of, created_at))" + PARTITIONED_BY).format(
            **names
        )
    )
    # For Feast's reads of a time span, and for loads: the primary key begins with those of the entity.
    connection.execute(sql.SQL("CREATE INDEX {index} ON {table} (as_of, created_at)").format(**names))
    _make_append_only(connection, table.name)


def _make_append_only(connection: Connection, table: str) -> None:
    statement = (
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {} "
        "FOR EACH STATEMENT EXECUTE FUNCTION public.asof_refuse_rewrite()"
    )
    connection.execute(sql.SQL(statement).format(sql.Identifier("public", table)))
