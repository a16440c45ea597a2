"""Up to which moment, load and definition each view of the online store was materialised; kept in PostgreSQL.

`online_definitions` holds the definitions that may have written a view's online rows: one, or two while a view is
rewritten by another definition, and after that was interrupted.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from asof.features.definition_records import FILLED, read_records
from asof.features.feature_definition import digest_of
from training.data.snapshots.owned_tables import create_if_absent, table_exists, views
from training.data.snapshots.tables import NEW_ROWS

NEW_LOADS = f"""
SELECT min(as_of) FILTER (WHERE load_id > %(load)s OR as_of > %(last)s), coalesce(max(load_id), 0) FROM loads
WHERE as_of <= %(moment)s AND {NEW_ROWS} > 0"""  # noqa: S608 - constants only
OLDEST = sql.SQL("SELECT min(as_of) FROM public.{} WHERE as_of <= %s")
WATERMARKS = "public.whole_materialisations_begun"
CREATE_WATERMARKS = """
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
"""By type of online store; rows from before the column `store` apply to any, and their definition decides."""

CREATE_DEFINITIONS = f"""
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

Watermark = tuple[int, datetime]
"""The newest load and the moment that the online store holds of a view."""
NO_WATERMARK: Watermark = (0, datetime.min.replace(tzinfo=UTC))
"""Of a view that must be read whole."""


def create_watermark_tables(connection: psycopg.Connection) -> None:
    """Creates the tables of watermarks and online definitions unless they exist."""
    create_if_absent(connection, WATERMARKS, CREATE_WATERMARKS)
    create_if_absent(connection, FILLED, CREATE_DEFINITIONS)


def materialised_as_of(connection: psycopg.Connection) -> datetime | None:
    """The moment of the last materialisation; None if there was none."""
    if not table_exists(connection, "public.materialisations"):
        return None
    row = connection.execute("SELECT as_of FROM materialisations ORDER BY materialisation_id DESC LIMIT 1").fetchone()
    return row[0] if row else None


def forget_watermarks(connection: psycopg.Connection, store: str) -> None:
    """For an online store of that type whose tables are dropped: the next materialisation is whole."""
    create_watermark_tables(connection)
    connection.execute("DELETE FROM whole_materialisations_begun WHERE store = %s", (store,))
    connection.execute("DELETE FROM online_definitions WHERE store = %s", (store,))
    connection.execute(
        "UPDATE materialisations SET definition = 'dropped' WHERE coalesce(store, %s) = %s", (store,) * 2
    )


@dataclass(frozen=True)
class Watermarks:
    """The watermarks of the views of one online store, `store` being its type."""

    connection: psycopg.Connection
    store: str

    def last(self, view: str, definition: str, moment: datetime) -> Watermark:
        """The view's watermark; NO_WATERMARK if it must be read whole."""
        begun = "SELECT FROM whole_materialisations_begun WHERE view = %s AND store = %s"
        interrupted = self.connection.execute(begun, (view, self.store)).fetchone() is not None
        last = self._newest(view)
        usable = last and last[2] == definition and last[1] <= moment and not interrupted
        return last[:2] if last and usable else NO_WATERMARK

    def as_of(self, view: str) -> datetime | None:
        """The moment of the view's online rows, whatever their definition; None if it was never materialised."""
        last = self._newest(view)
        return last[1] if last else None

    def _newest(self, view: str) -> tuple[int, datetime, str] | None:
        return self.connection.execute(
            "SELECT load_id, as_of, definition FROM materialisations WHERE view = %s AND coalesce(store, %s) = %s"
            " ORDER BY materialisation_id DESC LIMIT 1",
            (view, self.store, self.store),
        ).fetchone()

    def new_rows(self, table: str, last: Watermark, moment: datetime) -> tuple[datetime | None, int]:
        """The oldest moment with rows newer than `last` (None: none), and the newest load, both up to `moment`."""
        parameters = {"load": last[0], "last": last[1], "moment": moment, "table": table}
        row = self.connection.execute(NEW_LOADS, parameters).fetchone()
        if table in views(self.connection):  # used in place: others add rows to it, and no load says when
            (oldest,) = self.connection.execute(OLDEST.format(sql.Identifier(table)), (moment,)).fetchone() or (None,)
            return oldest, 0
        return row or (None, 0)

    def begin(self, view: str, text: str, source: str) -> None:
        """Records that the definition `text` is about to write rows, and when its source was registered."""
        self.connection.execute(
            "INSERT INTO online_definitions (view, store, digest, definition, source, source_registered) VALUES"
            " (%s, %s, %s, %s, %s,"
            " (SELECT max(last_updated_timestamp) FROM public.data_sources WHERE data_source_name = %s))"
            " ON CONFLICT DO NOTHING",
            (view, self.store, digest_of(text), text, source, source),
        )

    def redefined(self, view: str, text: str) -> bool:
        """Whether online rows may have been written by another definition that is not accepted as equivalent."""
        records, own = read_records(self.connection, self.store, [view]), digest_of(text)
        if (view, own) in records.interrupted:
            return True
        others = (digest_of(each) for each in records.filled.get(view, ()))
        return any(other != own and frozenset({own, other}) not in records.accepted for other in others)

    def begin_whole(self, view: str) -> None:
        """Invalidates the view's watermark until `finish`: if that is never reached, the next time is whole, too."""
        self.connection.execute(
            "INSERT INTO whole_materialisations_begun VALUES (%s, %s) ON CONFLICT DO NOTHING", (view, self.store)
        )

    def cleared(self, view: str) -> None:
        """Records that no row of the view is online."""
        self.connection.execute("DELETE FROM online_definitions WHERE view = %s AND store = %s", (view, self.store))

    def finish(self, view: str, definition: str, moment: datetime, *, load: int, entities: int) -> None:
        """Records that the store holds the view as of the moment, up to the load."""
        with self.connection.transaction():
            self.connection.execute(
                "DELETE FROM whole_materialisations_begun WHERE view = %s AND store = %s", (view, self.store)
            )
            self.connection.execute(
                "INSERT INTO materialisations (view, store, as_of, load_id, definition, entities)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (view, self.store, moment, load, definition, entities),
            )
