"""Copies in Prefect's database: log lines, states, parameters and artifacts that mention the subject.

Prefect's interface changes none of them. Only texts are changed, whatever release made the tables.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
from psycopg import sql

from asof.home import PREFECT_DATABASE
from training.erasure.work import NOT_COUNTED, Copy, Work

IN_POSTGRES = """
SELECT table_name, column_name, data_type FROM information_schema.columns JOIN information_schema.tables
    USING (table_schema, table_name)
WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
    AND data_type IN ('text', 'character varying', 'json', 'jsonb')
    AND has_table_privilege(format('%I.%I', table_schema, table_name), 'UPDATE')"""
DATABASE = "prefect"
MAY_CONNECT = "SELECT has_database_privilege(oid, 'CONNECT') FROM pg_database WHERE datname = %s"


def erase(work: Work) -> Iterator[Copy]:
    """In the SQLite file of the home, or in the database `prefect` of the same server."""
    file = work.settings.prefect_home / PREFECT_DATABASE
    if file.is_file() and file.stat().st_size:
        with closing(sqlite3.connect(file, timeout=30)) as connection:
            yield from _in_sqlite(connection, work)
    with psycopg.connect(work.settings.conninfo()) as connection:
        row = connection.execute(MAY_CONNECT, [DATABASE]).fetchone()
    if row == (True,):
        with psycopg.connect(work.settings.conninfo(DATABASE)) as connection:
            yield from _in_postgres(connection, work)
    elif row:
        yield Copy(f"database {DATABASE}", NOT_COUNTED, "this role may not read it: run the command as asof_erasure")


def _redacted(work: Work) -> Callable[[Any], Any]:
    """A text without the subject; unchanged where it does not mention it, as what is no text."""

    def redact(text: Any) -> Any:
        if not isinstance(text, str):
            return text
        lines = text.split("\n")
        return "\n".join(work.subject.redacted(line) or line for line in lines)

    return redact


def _in_sqlite(connection: sqlite3.Connection, work: Work) -> Iterator[Copy]:
    connection.execute("PRAGMA secure_delete = ON")
    connection.create_function("redacted", 1, _redacted(work), deterministic=True)
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    for (table,) in tables.fetchall():
        for _, column, kind, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
            if kind.upper().startswith(("VARCHAR", "TEXT", "JSON", "CHAR")):
                where = f'"{column}" IS NOT redacted("{column}")'
                (count,) = connection.execute(f'SELECT count(*) FROM "{table}" WHERE {where}').fetchone()  # noqa: S608
                if count and work.apply:
                    change = f'UPDATE "{table}" SET "{column}" = redacted("{column}") WHERE {where}'  # noqa: S608
                    connection.execute(change)
                if count:
                    yield Copy(f"Prefect: {table}.{column}", count)
    connection.commit()
    if work.apply:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _in_postgres(connection: psycopg.Connection[Any], work: Work) -> Iterator[Copy]:
    redact = _redacted(work)
    for table, column, kind in connection.execute(IN_POSTGRES).fetchall():
        names = {"table": sql.Identifier("public", table), "column": sql.Identifier(column)}
        value = next(iter(work.subject.keys.values()))
        query = "SELECT ctid::text, {column}::text FROM {table} WHERE position(lower(%s) in lower({column}::text)) > 0"
        found = connection.execute(sql.SQL(query).format(**names), [str(value)]).fetchall()
        changed = {place: new for place, text in found if (new := redact(text)) != text}
        if work.apply:
            change = sql.SQL("UPDATE {table} SET {column} = %s::{kind} WHERE ctid = %s::tid")
            with connection.cursor() as cursor:
                cursor.executemany(change.format(kind=sql.SQL(kind), **names), [(n, p) for p, n in changed.items()])
        if changed:
            yield Copy(f"Prefect: {table}.{column}", len(changed))
