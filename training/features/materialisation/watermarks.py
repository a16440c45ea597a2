"""What the online store was brought to: each view, to which moment, load and definition; kept in PostgreSQL.

`online_definitions` holds each definition by which rows of a view that are online may have been written: one, or two
while a view is written whole by another, and after such a time that did not come to its end.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from asof.features.definition_records import FILLED, read_records
from asof.features.feature_definition import digest_of
from training.data.snapshots.owned_tables import create_if_absent, table_exists

STATE = "public.whole_materialisations_begun"
CREATE_STATE = """
CREATE TABLE IF NOT EXISTS materialisations (
    materialisation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    view text NOT NULL,
    as_of timestamptz NOT NULL,
    load_id bigint NOT NULL,
    definition text NOT NULL,
    entities bigint NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE materialisations ADD COLUMN IF NOT EXISTS store text;
CREATE TABLE IF NOT EXISTS whole_materialisations_begun (view text, store text, PRIMARY KEY (view, store))"""
"""What each type of online store was brought to; rows of before that column count for any, their definition decides."""

MAKE_DEFINITIONS = f"""
CREATE TABLE {FILLED} (
    view text NOT NULL,
    store text NOT NULL,
    digest text NOT NULL,
    definition text NOT NULL,
    source text NOT NULL,
    source_registered bigint,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (view, store, digest)
)"""

Last = tuple[int, datetime]
WHOLE: Last = (0, datetime.min.replace(tzinfo=UTC))
"""The newest load and moment of a view of which nothing counts: it is read whole."""


def create_watermark_tables(connection: psycopg.Connection) -> None:
    """Makes the tables in which it stands what the online store was brought to, unless they are there."""
    create_if_absent(connection, STATE, CREATE_STATE)
    create_if_absent(connection, FILLED, MAKE_DEFINITIONS)


def materialised_as_of(connection: psycopg.Connection) -> datetime | None:
    """What the online store shows is as of this moment; None where it has never been filled."""
    if not table_exists(connection, "public.materialisations"):
        return None
    row = connection.execute("SELECT as_of FROM materialisations ORDER BY materialisation_id DESC LIMIT 1").fetchone()
    return row[0] if row else None


def forget_watermarks(connection: psycopg.Connection, store: str) -> None:
    """For an online store of that type whose tables go: whoever takes it again fills it whole."""
    create_watermark_tables(connection)
    connection.execute("DELETE FROM whole_materialisations_begun WHERE store = %s", (store,))
    connection.execute("DELETE FROM online_definitions WHERE store = %s", (store,))
    connection.execute(
        "UPDATE materialisations SET definition = 'dropped' WHERE coalesce(store, %s) = %s", (store,) * 2
    )


@dataclass(frozen=True)
class Watermarks:
    """The same for the views of one online store, `store` being its type."""

    connection: psycopg.Connection
    store: str

    def last(self, view: str, definition: str, moment: datetime) -> Last:
        """The newest load and moment that the store shows already; WHOLE where the view has to be read anew."""
        last = self.connection.execute(
            "SELECT load_id, as_of, definition FROM materialisations WHERE view = %s AND coalesce(store, %s) = %s"
            " AND view NOT IN (SELECT view FROM whole_materialisations_begun WHERE store = %s)"
            " ORDER BY materialisation_id DESC LIMIT 1",
            (view, self.store, self.store, self.store),
        ).fetchone()
        return (last[0], last[1]) if last and last[2] == definition and last[1] <= moment else WHOLE

    def shown(self, view: str) -> datetime | None:
        """As of when the store shows the view, whatever its definition; None where it was never filled."""
        row = self.connection.execute(
            "SELECT as_of FROM materialisations WHERE view = %s AND coalesce(store, %s) = %s"
            " ORDER BY materialisation_id DESC LIMIT 1",
            (view, self.store, self.store),
        ).fetchone()
        return row[0] if row else None

    def unseen(self, table: str, last: Last, moment: datetime) -> tuple[datetime | None, int]:
        """The oldest moment with rows that came after `last`, and the newest load up to the moment."""
        row = self.connection.execute(
            "SELECT min(as_of) FILTER (WHERE load_id > %s OR as_of > %s), coalesce(max(load_id), 0) FROM loads"
            " WHERE as_of <= %s AND coalesce((files -> %s ->> 'new_rows')::bigint, 0) > 0",
            (*last, moment, f"{table}.csv"),
        ).fetchone()
        return row or (None, 0)

    def begin(self, view: str, text: str, source: str) -> None:
        """Rows of the view are about to be written by the definition of that text, of a source as it is registered."""
        self.connection.execute(
            "INSERT INTO online_definitions (view, store, digest, definition, source, source_registered) VALUES"
            " (%s, %s, %s, %s, %s,"
            " (SELECT max(last_updated_timestamp) FROM public.data_sources WHERE data_source_name = %s))"
            " ON CONFLICT DO NOTHING",
            (view, self.store, digest_of(text), text, source, source),
        )

    def redefined(self, view: str, text: str) -> bool:
        """Whether rows that are online may have been written by a definition that is not accepted as the same."""
        records, own = read_records(self.connection, self.store, [view]), digest_of(text)
        if (view, own) in records.interrupted:
            return True
        others = (digest_of(each) for each in records.filled.get(view, ()))
        return any(other != own and frozenset({own, other}) not in records.accepted for other in others)

    def begin_anew(self, view: str) -> None:
        """What is told of the view is not true until it is finished: where it never is, the next time is whole, too."""
        self.connection.execute(
            "INSERT INTO whole_materialisations_begun VALUES (%s, %s) ON CONFLICT DO NOTHING", (view, self.store)
        )

    def cleared(self, view: str) -> None:
        """No row of the view is online any more."""
        self.connection.execute("DELETE FROM online_definitions WHERE view = %s AND store = %s", (view, self.store))

    def finish(self, view: str, definition: str, moment: datetime, *, load: int, entities: int) -> None:
        """The store shows the view as of the moment, up to the load."""
        with self.connection.transaction():
            self.connection.execute(
                "DELETE FROM whole_materialisations_begun WHERE view = %s AND store = %s", (view, self.store)
            )
            self.connection.execute(
                "INSERT INTO materialisations (view, store, as_of, load_id, definition, entities)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (view, self.store, moment, load, definition, entities),
            )
