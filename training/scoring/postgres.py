"""Scores -> the tables `scored_users`, `scoring_ranges` and `scoring_runs`; the view `scores` joins the runs to users.

Each range is written with its tally in one transaction, which begins by claiming the range: two workers never write
the same. There is no foreign key: checking it would take longer than the rest of a row, and a run's row is written
first.
"""

import io
import os
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import psycopg
import pyarrow as arrow
from psycopg import errors, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from pyarrow import csv

from asof.settings import Settings
from training.data.snapshots.owned_tables import create_if_absent, explain_missing_privilege
from training.scoring.results import RUN_COLUMNS, ScoredChunk, already_running
from training.scoring.run import Run, Tally

LOCK_TIMEOUT = "3s"
"""Longer than the server needs to notice that a killed run is gone."""
CLAIM_TIMEOUT = "60s"
"""For a range that a lost worker has claimed, until the server notices that it is gone."""

VIEW = "public.scores"
CREATE = """
CREATE TABLE IF NOT EXISTS public.scoring_runs (
    scoring_run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    use_case text NOT NULL, model text NOT NULL, version text NOT NULL, run_id text NOT NULL, fingerprint text NOT NULL,
    feature_service text NOT NULL, threshold double precision,
    as_of timestamptz NOT NULL, known_at timestamptz NOT NULL, loads bigint NOT NULL, views text NOT NULL,
    who text NOT NULL, git_commit text NOT NULL, begun_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'unfinished' CHECK (state IN ('unfinished', 'complete')),
    scored bigint NOT NULL DEFAULT 0, answered bigint NOT NULL DEFAULT 0,
    flagged bigint NOT NULL DEFAULT 0, refused jsonb NOT NULL DEFAULT '{}',
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (model, version, run_id, as_of, known_at)
);
CREATE TABLE IF NOT EXISTS public.scored_users (
    scoring_run bigint NOT NULL,
    entity text NOT NULL, probability double precision, label boolean, code text, detail text, flags jsonb,
    moments jsonb NOT NULL, scored_at timestamptz NOT NULL,
    PRIMARY KEY (scoring_run, entity)
);
"""
LATER_COLUMNS = """
CREATE TABLE IF NOT EXISTS public.scoring_ranges (
    scoring_run bigint NOT NULL, range integer NOT NULL, worker text NOT NULL,
    scored bigint NOT NULL DEFAULT 0, answered bigint NOT NULL DEFAULT 0,
    flagged bigint NOT NULL DEFAULT 0, refused jsonb NOT NULL DEFAULT '{}', digest text NOT NULL DEFAULT '',
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scoring_run, range)
);
ALTER TABLE public.scoring_runs ALTER COLUMN threshold DROP NOT NULL, DROP COLUMN IF EXISTS last,
    ADD COLUMN IF NOT EXISTS cuts text[], ADD COLUMN IF NOT EXISTS digest text NOT NULL DEFAULT '';
ALTER TABLE public.scored_users DROP CONSTRAINT IF EXISTS scored_users_check,
    ADD COLUMN IF NOT EXISTS class_name text, ADD COLUMN IF NOT EXISTS probabilities jsonb,
    ADD COLUMN IF NOT EXISTS value double precision, ADD COLUMN IF NOT EXISTS low double precision,
    ADD COLUMN IF NOT EXISTS high double precision,
    ADD CONSTRAINT scored_users_check CHECK ((code IS NULL) = (coalesce(probability, value) IS NOT NULL
        OR class_name IS NOT NULL) AND (probability IS NULL) = (label IS NULL));
CREATE OR REPLACE VIEW public.scores AS
SELECT scoring_run, entity, probability, label, code, detail, flags, moments, model, version, run_id, fingerprint,
    threshold, as_of, known_at, scored_at, class_name, probabilities, value, low, high
FROM public.scored_users JOIN public.scoring_runs USING (scoring_run)"""
HAS_LATER_COLUMNS = """
SELECT to_regclass('public.scoring_ranges') IS NOT NULL AND EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.scores') AND attname = 'high')"""
"""Whether the tables have what older ones lack: ranges, and the columns of several classes and of numbers."""
LOCK = "SELECT pg_advisory_lock(hashtextextended('asof scoring of ' || %s, 0))"
FIND_RUN = """
SELECT * FROM public.scoring_runs WHERE (model, version, run_id, as_of) = (%s, %s, %s, %s)
AND (known_at = %s OR %s AND known_at = begun_at)
ORDER BY known_at DESC LIMIT 1"""
RUN_FIELDS = [each.name for each in fields(Run)]
TALLY_FIELDS = [each.name for each in fields(Tally)]
INSERT_RUN = sql.SQL("INSERT INTO public.scoring_runs ({}, cuts) VALUES ({}, %(cuts)s) RETURNING scoring_run").format(
    sql.SQL(", ").join(map(sql.Identifier, RUN_FIELDS)), sql.SQL(", ").join(map(sql.Placeholder, RUN_FIELDS))
)
TALLY_VALUES = sql.SQL(", ").join(
    sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in TALLY_FIELDS
)
UPDATE_RUN = sql.SQL(
    "UPDATE public.scoring_runs SET {}, changed_at = clock_timestamp() WHERE scoring_run = %(scoring_run)s"
).format(TALLY_VALUES)
COMPLETE_RUN = "UPDATE public.scoring_runs SET state = 'complete', cuts = NULL WHERE scoring_run = %s"
CLAIM_RANGE = """
INSERT INTO public.scoring_ranges (scoring_run, range, worker) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"""
UPDATE_RANGE = sql.SQL(
    "UPDATE public.scoring_ranges SET {}, written_at = clock_timestamp() "
    "WHERE (scoring_run, range) = (%(scoring_run)s, %(range)s)"
).format(TALLY_VALUES)
RANGES = sql.SQL("SELECT range, {} FROM public.scoring_ranges WHERE scoring_run = %s").format(
    sql.SQL(", ").join(map(sql.Identifier, TALLY_FIELDS))
)
COPY = sql.SQL("COPY public.scored_users (scoring_run, {}) FROM STDIN (FORMAT csv)")


def create_tables(connection: psycopg.Connection) -> None:
    """Creates the tables and the view unless they exist; adds what older ones lack."""
    create_if_absent(connection, VIEW, CREATE + LATER_COLUMNS)
    if connection.execute(HAS_LATER_COLUMNS).fetchone() != (True,):
        with explain_missing_privilege(connection, "Table public.scoring_ranges"), connection.transaction():
            connection.execute(LATER_COLUMNS)


@dataclass(frozen=True)
class PostgresWriter:
    """A `RangeWriter` to the run with this number."""

    number: int

    def write(self, settings: Settings, number: int, chunks: Iterator[ScoredChunk]) -> Tally:
        with psycopg.connect(settings.conninfo()) as connection:
            key = self.number, number
            connection.execute(f"SET LOCAL lock_timeout = '{CLAIM_TIMEOUT}'")
            if not connection.execute(CLAIM_RANGE, (*key, f"{socket.gethostname()}:{os.getpid()}")).rowcount:
                return read_ranges(connection, self.number)[number]
            tally = Tally()
            for chunk in chunks:
                self._copy(connection, chunk)
                tally += chunk.tally
            self._finish(connection, number, tally)
        return tally

    def _copy(self, connection: psycopg.Connection, chunk: ScoredChunk) -> None:
        rows = chunk.rows.drop_columns(list(RUN_COLUMNS))
        columns = sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
        with connection.cursor().copy(COPY.format(columns)) as copy:
            copy.write(_csv(rows, self.number))

    def _finish(self, connection: psycopg.Connection, number: int, tally: Tally) -> None:
        connection.execute(UPDATE_RANGE, _values(tally) | {"scoring_run": self.number, "range": number})


@dataclass
class PostgresRun:
    """An `OpenRun` on a connection that holds the run's lock. `number` is None until it is begun."""

    connection: psycopg.Connection
    run: Run
    tally: Tally
    complete: bool = False
    cuts: Sequence[str] | None = None
    done: Collection[int] = ()
    number: int | None = None

    def begin(self, cuts: Sequence[str]) -> PostgresWriter:
        if self.number is None:
            row = self.connection.execute(INSERT_RUN, vars(self.run) | {"cuts": [*cuts]}).fetchone()
            assert row  # noqa: S101 - RETURNING gives one
            self.number = int(row[0])
        return PostgresWriter(self.number)

    def advance(self, tally: Tally) -> None:
        self.connection.execute(UPDATE_RUN, _values(tally) | {"scoring_run": self.number})

    def finish(self, tally: Tally) -> None:
        with self.connection.transaction():
            self.advance(tally)
            self.connection.execute(COMPLETE_RUN, (self.number,))


@contextmanager
def in_postgres(settings: Settings, run: Run, *, any_known_at: bool) -> Iterator[PostgresRun]:
    """A `FindRun`. Before it is begun only the empty tables are created."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        _lock(connection, run)
        create_tables(connection)
        with connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(FIND_RUN, (*run.key, run.known_at, any_known_at)).fetchone()
        yield _resumed(connection, row) if row else PostgresRun(connection, run, Tally())


def _resumed(connection: psycopg.Connection, row: Mapping[str, Any]) -> PostgresRun:
    run, number = Run(**{name: row[name] for name in RUN_FIELDS}), row["scoring_run"]
    if row["state"] == "complete":
        tally = Tally(**{name: row[name] for name in TALLY_FIELDS})
        return PostgresRun(connection, run, tally, complete=True, number=number)
    done = read_ranges(connection, number)
    return PostgresRun(connection, run, sum(done.values(), Tally()), cuts=row["cuts"], done=done, number=number)


def read_ranges(connection: psycopg.Connection, number: int) -> dict[int, Tally]:
    """The tallies of the ranges that are written of a run."""
    return {part: Tally(*values) for part, *values in connection.execute(RANGES, (number,))}


def _values(tally: Tally) -> dict[str, Any]:
    return vars(tally) | {"refused": Jsonb(tally.refused)}


def _lock(connection: psycopg.Connection, run: Run) -> None:
    """An advisory lock of the session, which ends with the process."""
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            connection.execute(LOCK, (run.title,))
    except errors.LockNotAvailable:
        raise already_running(run) from None


def _csv(rows: arrow.Table, number: int) -> bytes:
    """CSV for COPY: texts are quoted, nulls are not, and doubles round-trip."""
    whole = rows.add_column(0, "scoring_run", arrow.repeat(number, len(rows)))
    text = io.BytesIO()
    csv.write_csv(whole, text, csv.WriteOptions(include_header=False))
    return text.getvalue()
