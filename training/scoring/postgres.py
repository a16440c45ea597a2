"""Scores -> the tables `scored_users` and `scoring_runs`, which the view `scores` joins.

Each chunk is written with its run's tally in one transaction. There is no foreign key: checking it would take longer
than the rest of a row, and a run's row is written first.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

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
    flagged bigint NOT NULL DEFAULT 0, refused jsonb NOT NULL DEFAULT '{}', last text,
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
OTHER_TARGETS = """
ALTER TABLE public.scoring_runs ALTER COLUMN threshold DROP NOT NULL;
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
HAS_OTHER_TARGETS = """
SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.scores') AND attname = 'high')"""
"""Whether the tables have the columns of several classes and of numbers, which older ones lack."""
LOCK = "SELECT pg_advisory_lock(hashtextextended('asof scoring of ' || %s, 0))"
FIND_RUN = """
SELECT * FROM public.scoring_runs WHERE (model, version, run_id, as_of) = (%s, %s, %s, %s)
AND (known_at = %s OR %s AND known_at = begun_at)
ORDER BY known_at DESC LIMIT 1"""
RUN_FIELDS = [each.name for each in fields(Run)]
TALLY_FIELDS = [each.name for each in fields(Tally)]
INSERT_RUN = sql.SQL("INSERT INTO public.scoring_runs ({}) VALUES ({}) RETURNING scoring_run").format(
    sql.SQL(", ").join(map(sql.Identifier, RUN_FIELDS)), sql.SQL(", ").join(map(sql.Placeholder, RUN_FIELDS))
)
UPDATE_RUN = sql.SQL(
    "UPDATE public.scoring_runs SET {}, state = %(state)s, changed_at = clock_timestamp() "
    "WHERE scoring_run = %(scoring_run)s"
).format(
    sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in TALLY_FIELDS)
)
COPY = sql.SQL("COPY public.scored_users (scoring_run, {}) FROM STDIN (FORMAT csv)")


def create_tables(connection: psycopg.Connection) -> None:
    """Creates the tables and the view unless they exist; adds the columns that older ones lack."""
    create_if_absent(connection, VIEW, CREATE + OTHER_TARGETS)
    if connection.execute(HAS_OTHER_TARGETS).fetchone() != (True,):
        with explain_missing_privilege(connection, "Column high of public.scored_users"), connection.transaction():
            connection.execute(OTHER_TARGETS)


@dataclass
class PostgresWriter:
    """A `ScoreWriter` on a connection that holds the run's lock. `number` is None until its first chunk is written."""

    connection: psycopg.Connection
    run: Run
    tally: Tally
    complete: bool
    number: int | None = None

    def write(self, chunk: ScoredChunk) -> None:
        with self.connection.transaction():
            if self.number is None:
                self.number = self._begin()
            rows = chunk.rows.drop_columns(list(RUN_COLUMNS))
            columns = sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
            with self.connection.cursor().copy(COPY.format(columns)) as copy:
                copy.write(_csv(rows, self.number))
            self._advance(chunk.tally, "unfinished")

    def finish(self, tally: Tally) -> None:
        self._advance(tally, "complete")

    def _begin(self) -> int:
        row = self.connection.execute(INSERT_RUN, vars(self.run)).fetchone()
        assert row  # noqa: S101 - RETURNING gives one
        return int(row[0])

    def _advance(self, tally: Tally, state: str) -> None:
        values = vars(tally) | {"refused": Jsonb(tally.refused), "state": state, "scoring_run": self.number}
        self.connection.execute(UPDATE_RUN, values)


@contextmanager
def in_postgres(settings: Settings, run: Run, *, any_known_at: bool) -> Iterator[PostgresWriter]:
    """An `OpenWriter`. Before the first chunk only the empty tables are created."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        _lock(connection, run)
        create_tables(connection)
        with connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(FIND_RUN, (*run.key, run.known_at, any_known_at)).fetchone()
        if row is None:
            yield PostgresWriter(connection, run, Tally(), complete=False)
        else:
            earlier = Run(**{name: row[name] for name in RUN_FIELDS})
            tally = Tally(**{name: row[name] for name in TALLY_FIELDS})
            yield PostgresWriter(connection, earlier, tally, row["state"] == "complete", row["scoring_run"])


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
