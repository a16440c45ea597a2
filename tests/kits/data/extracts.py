"""For tests of snapshots: small StreamFlow extracts, as bytes by file, and a look at all that the database holds."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from asof.settings import Settings
from asof.use_cases.churn.raw_schema import EXTRACT

USERS = 12
TABLES = [table.name for table in (*EXTRACT.tables, EXTRACT.labels)]

Files = Mapping[str, bytes]
Edit = Callable[[bytes], bytes]


def extract_files(users: int = USERS, *, month: int = 0, labels: bool = True, odd: Sequence[str] = ()) -> Files:
    """A good extract: user i is in row i + 2 of each file; every third has no internet; hours change by the month.

    After them come users with the odd ids.
    """
    ids = [f"{i:04d}-ABCDE" for i in range(users)] + ['"{}"'.format(key.replace('"', '""')) for key in odd]
    users = len(ids)
    plans = [("", "", "No") if i % 3 == 2 else ("True", "False", "DSL") for i in range(users)]
    columns: dict[str, list[str]] = {
        "users": [f"2022-01-{i % 28 + 1:02d},Female,False,True,False" for i in range(users)],
        "subscriptions": [
            f"{i % 72},{tv},{movies},One year,True,{20 + i % 100}.25,{100 * i}.5,{net}"
            for i, (tv, movies, net) in enumerate(plans)
        ],
        "usage_agg_30d": [f"{i % 700}.125,29.14104464084511,{i % 3 + 1},{month},0" for i in range(users)],
        "payments_agg_90d": [f"{i % 2}" for i in range(users)],
        "support_agg_90d": [f"{i % 4},{i % 4 * 2}.5" if i % 4 else "0," for i in range(users)],
    }
    if labels:
        columns["labels"] = [str(i % 4 == 0) for i in range(users)]
    return {
        name: _csv(name, [f"{key},{row}" for key, row in zip(ids, rows, strict=True)]) for name, rows in columns.items()
    }


def _csv(name: str, rows: list[str]) -> bytes:
    (table,) = (table for table in (*EXTRACT.tables, EXTRACT.labels) if table.name == name)
    header = ",".join(column.name for column in table.columns)
    return "\n".join([header, *rows, ""]).encode()


def write(folder: Path, files: Files) -> Path:
    """Writes the files into a new folder, and gives it."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / f"{name}.csv").write_bytes(content)
    return folder


def edited(files: Files, **edits: Edit) -> Files:
    """The files, some of them changed."""
    return {**files, **{name: edit(files[name]) for name, edit in edits.items()}}


def swap(old: str, new: str, count: int = -1) -> Edit:
    """An edit that replaces text; it must be there."""

    def edit(content: bytes) -> bytes:
        assert old.encode() in content
        return content.replace(old.encode(), new.encode(), count)

    return edit


def contents(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in the order of its key; absent tables are left out."""
    with psycopg.connect(settings.conninfo()) as connection:
        there = {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
        keys = dict.fromkeys(TABLES, "user_id, as_of, created_at") | {"loads": "load_id"}
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY {keys[name]}".encode()).fetchall()
            for name in keys
            if name in there
        }


def fetch(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with psycopg.connect(settings.conninfo()) as connection:
        return connection.execute(query.encode()).fetchall()


def unpartitioned(connection: psycopg.Connection[Any], tables: Sequence[str]) -> None:
    """Makes tables as an older version made them, with the same rows."""
    for table in tables:
        statements = f"""
            CREATE TABLE plain (LIKE {table} INCLUDING ALL);
            INSERT INTO plain SELECT * FROM {table};
            DROP TABLE {table};
            ALTER TABLE plain RENAME TO {table};
            CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
                FOR EACH STATEMENT EXECUTE FUNCTION asof_refuse_rewrite()"""
        connection.execute(statements.encode())


def add_months(connection: psycopg.Connection[Any], tables: Sequence[str], first: datetime, last: datetime) -> None:
    """Makes the partitions of each table, for rows that do not come by a load."""
    query = """
        SELECT months.make_month(name, month) FROM unnest(%s::text[]) AS name,
            generate_series(date_trunc('month', %s::timestamptz, 'UTC'), %s, '1 month') AS month"""
    connection.execute(query, ([*tables], first, last))
