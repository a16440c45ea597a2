"""Results -> the tables `scored_users` and `scoring_runs`, read as one by the view `scores`.

Each chunk and the tally of its run are one transaction. What is the same for all users of a run stands there once. No
foreign key leads to it: the check of one takes longer than the rest of a row, and a run's row is written first.
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
from training.data.snapshots.owned_tables import create_if_absent
from training.scoring.results import OF_THE_RUN, SCHEMA, Results, busy
from training.scoring.run import Run, Tally

PATIENCE = "3s"
"""How long a turn is waited for: the server notices only after a moment that a killed run is gone."""

VIEW = "public.scores"
CREATE = """
CREATE TABLE IF NOT EXISTS public.scoring_runs (
    scoring_run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    use_case text NOT NULL, model text NOT NULL, version text NOT NULL, run_id text NOT NULL, fingerprint text NOT NULL,
    feature_service text NOT NULL, threshold double precision NOT NULL,
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
    PRIMARY KEY (scoring_run, entity),
    CHECK ((probability IS NULL) = (code IS NOT NULL) AND (label IS NULL) = (code IS NOT NULL))
);
CREATE VIEW public.scores AS
SELECT scoring_run, entity, probability, label, code, detail, flags, moments, model, version, run_id, fingerprint,
    threshold, as_of, known_at, scored_at
FROM public.scored_users JOIN public.scoring_runs USING (scoring_run)"""
LOCK = "SELECT pg_advisory_lock(hashtextextended('asof scoring of ' || %s, 0))"
FIND = """
SELECT * FROM public.scoring_runs WHERE (model, version, run_id, as_of) = (%s, %s, %s, %s)
AND (known_at = %s OR %s AND known_at = begun_at)
ORDER BY known_at DESC LIMIT 1"""
NEW = [each.name for each in fields(Run)]
PROGRESS = [each.name for each in fields(Tally)]
BEGIN = sql.SQL("INSERT INTO public.scoring_runs ({}) VALUES ({}) RETURNING scoring_run").format(
    sql.SQL(", ").join(map(sql.Identifier, NEW)), sql.SQL(", ").join(map(sql.Placeholder, NEW))
)
ADVANCE = sql.SQL(
    "UPDATE public.scoring_runs SET {}, state = %(state)s, changed_at = clock_timestamp() "
    "WHERE scoring_run = %(scoring_run)s"
).format(
    sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in PROGRESS)
)
OF_A_USER = [name for name in SCHEMA.names if name not in OF_THE_RUN]
COPY = sql.SQL("COPY public.scored_users (scoring_run, {}) FROM STDIN (FORMAT csv)").format(
    sql.SQL(", ").join(map(sql.Identifier, OF_A_USER))
)


@dataclass
class PostgresPlace:
    """A run in the two tables, on a connection that holds its turn. `number` is None until its first chunk is kept."""

    connection: psycopg.Connection
    run: Run
    tally: Tally
    complete: bool
    number: int | None = None

    def write(self, results: Results) -> None:
        with self.connection.transaction():
            if self.number is None:
                self.number = self._begin()
            with self.connection.cursor().copy(COPY) as copy:
                copy.write(_csv(results.rows, self.number))
            self._advance(results.tally, "unfinished")

    def finish(self, tally: Tally) -> None:
        self._advance(tally, "complete")

    def _begin(self) -> int:
        row = self.connection.execute(BEGIN, vars(self.run)).fetchone()
        assert row  # noqa: S101 - RETURNING gives one
        return int(row[0])

    def _advance(self, tally: Tally, state: str) -> None:
        values = vars(tally) | {"refused": Jsonb(tally.refused), "state": state, "scoring_run": self.number}
        self.connection.execute(ADVANCE, values)


@contextmanager
def in_postgres(settings: Settings, run: Run, *, any_known_at: bool) -> Iterator[PostgresPlace]:
    """An `Opener`. Nothing is written before the first chunk but the empty tables."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        _take_turn(connection, run)
        create_if_absent(connection, VIEW, CREATE)
        with connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(FIND, (*run.subject, run.known_at, any_known_at)).fetchone()
        if found is None:
            yield PostgresPlace(connection, run, Tally(), complete=False)
        else:
            held = Run(**{name: found[name] for name in NEW})
            tally = Tally(**{name: found[name] for name in PROGRESS})
            yield PostgresPlace(connection, held, tally, found["state"] == "complete", found["scoring_run"])


def _take_turn(connection: psycopg.Connection, run: Run) -> None:
    """An advisory lock of the session: it ends with its process, however that ends."""
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
            connection.execute(LOCK, (run.title,))
    except errors.LockNotAvailable:
        raise busy(run) from None


def _csv(rows: arrow.Table, number: int) -> bytes:
    """As COPY reads it: texts are quoted and nulls are not; a double is the shortest text that reads back as it."""
    whole = rows.select(OF_A_USER).add_column(0, "scoring_run", arrow.repeat(number, len(rows)))
    text = io.BytesIO()
    csv.write_csv(whole, text, csv.WriteOptions(include_header=False))
    return text.getvalue()
