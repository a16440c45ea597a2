"""A live table ingested, and the same rows by a bare COPY to COPY, in turns; each in a process of its own.

`python -m benchmarks.offline.sources HOW`, with ASOF_POSTGRES_URL set to a database for this run. The bare COPY goes to
a table with the key and index of a snapshot table, without checks, digest or second time.
"""

import json
import resource
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import psycopg

from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable
from asof.extracts.sources import PostgresQuery
from asof.settings import Settings
from benchmarks.processes import run_json
from training.data.snapshots.snapshot import take_snapshot
from training.data.snapshots.tables import prepare_tables

ROUNDS = 3
KEY = Column("user_id", Kind.TEXT)
LIVE = RawTable(
    "live_users",
    (
        KEY,
        Column("plan", Kind.TEXT, allowed=("basic", "family", "premium")),
        Column("region", Kind.TEXT, nullable=True),
        Column("months_active", Kind.INTEGER, minimum=0),
        Column("devices", Kind.INTEGER, minimum=0, maximum=100),
        Column("tickets", Kind.INTEGER),
        Column("fee", Kind.NUMBER, minimum=0),
        Column("hours", Kind.NUMBER, minimum=0, maximum=720),
        Column("rating", Kind.NUMBER, nullable=True),
        Column("paperless", Kind.BOOLEAN),
    ),
    source=PostgresQuery("live.users"),
)
LABELS = RawTable("live_labels", (KEY, Column("left", Kind.BOOLEAN)), source=PostgresQuery("live.labels"))
SCHEMA = ExtractSchema("user_id", "live_users", (LIVE,), LABELS, "left")
FILL = """
CREATE SCHEMA live;
CREATE TABLE live.users AS
SELECT 'user-' || lpad(n::text, 8, '0') AS user_id, (ARRAY['basic', 'family', 'premium'])[1 + n % 3] AS plan,
       CASE WHEN n % 10 > 0 THEN 'region ' || n % 50 END AS region, n % 72 AS months_active, n % 7 AS devices,
       n % 5 AS tickets, 18.25 + n % 10000 / 100.0::float8 AS fee, random() * 700 AS hours,
       CASE WHEN n % 4 > 0 THEN random() END AS rating, n % 2 = 0 AS paperless
FROM generate_series(1, {rows}) AS n ORDER BY random();
ALTER TABLE live.users ADD PRIMARY KEY (user_id);
CREATE TABLE live.bare (LIKE public.live_users);
ALTER TABLE live.bare ALTER as_of SET DEFAULT now(), ALTER created_at SET DEFAULT now();
ALTER TABLE live.bare ADD PRIMARY KEY (user_id, as_of, created_at);
CREATE INDEX ON live.bare (as_of, created_at)"""
READ = "COPY live.users TO STDOUT"
WRITE = "COPY live.bare ({columns}) FROM STDIN"


def measure_sources(settings: Settings, rows: int) -> dict[str, Any]:
    """Medians of the seconds of each way, by turns; `of bare` is the share of the bare COPY's rows a second."""
    prepare_tables(settings, SCHEMA)
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute(FILL.format(rows=rows).encode())
    done: dict[str, list[dict[str, Any]]] = {how: [] for how in WAYS}
    for _ in range(ROUNDS):
        for how, each in done.items():
            _empty(settings)
            each.append(run_json(settings.environment(), "benchmarks.offline.sources", how))
    seconds = {how: round(median(one["seconds"] for one in each), 2) for how, each in done.items()}
    return {
        "rows": rows,
        "of bare": round(seconds["bare"] / seconds["ingest"], 2),
        **{f"{how} s": each for how, each in seconds.items()},
        "peak MiB": max(one["peak_mib"] for one in done["ingest"]),
    }


def _empty(settings: Settings) -> None:
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # the triggers refuse to delete
        for table in ("public.live_users", "live.bare", "public.loads"):
            connection.execute(f"DELETE FROM {table}".encode())
            connection.execute(f"VACUUM ANALYZE {table}".encode())
        connection.execute("CHECKPOINT")


def _bare(settings: Settings) -> None:
    columns = ", ".join(column.name for column in LIVE.columns)
    with (
        psycopg.connect(settings.conninfo()) as source,
        psycopg.connect(settings.conninfo()) as target,
        source.cursor().copy(READ) as rows,
        target.cursor().copy(WRITE.format(columns=columns).encode()) as copy,
    ):
        for row in rows:
            copy.write(row)


def _ingest(settings: Settings) -> None:
    if take_snapshot(settings, SCHEMA, None, as_of=None).load_id is None:
        raise AssertionError("nothing was loaded")


WAYS: dict[str, Callable[[Settings], None]] = {"bare": _bare, "ingest": _ingest}


def main(how: str) -> None:
    settings = Settings()
    import training.data.extracts.validation  # noqa: F401 - pandera's import is not what is measured

    begun = perf_counter()
    WAYS[how](settings)
    seconds = perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(seconds, 2), "peak_mib": round(peak)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
