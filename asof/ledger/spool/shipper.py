"""The shipper: moves answers and shadow scores from the spool to the ledger's database, each exactly once.

The rows of a piece of a file and the place after it (`ledger.segments`) are written in one transaction. A file is
deleted once all of it is there and no worker writes to it.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from asof.errors import ConfigurationError
from asof.files import write_whole
from asof.ledger.schema import require_tables
from asof.ledger.spool.copy_rows import COPY, COPY_SHADOW, copy_rows, shadow_rows, whole
from asof.ledger.spool.frames import Frame
from asof.ledger.spool.segments import is_closed, quarantine, read_piece, segment_paths, size_of
from asof.ledger.spool.writer import spool_bytes

if TYPE_CHECKING:
    from psycopg import Connection

logger = logging.getLogger("asof.ledger")

LOCK, STATE, WORKERS = "shipper.lock", "shipper.json", "workers.lock"
POLL_SECONDS = 0.25
RETRY_SECONDS = 2.0
REPORT_SECONDS = 1.0

MODEL_COLUMNS = (
    *("id", "use_case", "name", "version", "run_id", "bento", "fingerprint", "feature_service", "features", "views"),
    *("threshold", "classes", "unit"),
)
ADD_MODEL = f"""
INSERT INTO ledger.models ({", ".join(MODEL_COLUMNS)})
VALUES ({", ".join(f"%({name})s" for name in MODEL_COLUMNS)}) ON CONFLICT DO NOTHING"""  # noqa: S608 - constants
TAKES_SHADOW = "SELECT has_table_privilege(to_regclass('ledger.shadow_scores'), 'INSERT')"
MAKE = "SELECT ledger.make_partitions(%s, greatest(%s, now() + interval '1 month'))"
MONTH = "%Y-%m"
SHIPPED = "SELECT shipped FROM ledger.segments WHERE segment = %s"
RECORD = """
INSERT INTO ledger.segments AS known (segment, shipped, rows, first_at, last_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (segment) DO UPDATE SET shipped = excluded.shipped, rows = known.rows + excluded.rows,
    first_at = least(known.first_at, excluded.first_at), last_at = greatest(known.last_at, excluded.last_at),
    updated_at = now()
WHERE known.shipped = %s"""


@dataclass
class State:
    """What the shipper writes beside the spool: rows shipped since its start, what waits, and what is wrong.

    `oldest_at`: the time of the oldest answer that waits, or that of the last success, in microseconds since 1970.
    """

    rows: int = 0
    waiting_bytes: int = 0
    oldest_at: int | None = None
    error: str = ""
    quarantined: list[str] = field(default_factory=list)
    looked_at: float = 0.0


class Shipper:
    """Ships one spool over one connection."""

    def __init__(self, folder: Path, connection: "Connection[Any]", state: State) -> None:
        self._folder, self._connection, self._state = folder, connection, state
        self._shipped: dict[str, int] = {}
        self._months: set[str] = set()
        self._takes_shadow = False

    def ship(self) -> int:
        """Ships what is in the spool now; returns the number of rows."""
        before = self._state.rows
        for path in segment_paths(self._folder):
            with suppress(FileNotFoundError):
                self._ship_segment(path)
        waiting = (size_of(path) - self._shipped.get(path.stem, 0) for path in segment_paths(self._folder))
        self._state.waiting_bytes = sum(waiting)
        return self._state.rows - before

    def _ship_segment(self, path: Path) -> None:
        from psycopg import DataError, IntegrityError

        closed = is_closed(path)
        try:
            while (piece := read_piece(path, start := self._start(path))).frames:
                if self._must_wait(piece.frames):
                    return
                self._ship_frames(path, piece.frames, start)
        except (DataError, IntegrityError, LookupError, TypeError, ValueError) as error:  # would fail for ever
            self._set_aside(path, f"{type(error).__name__}: {error}".partition("\n")[0])
            return
        if piece.broken:
            self._set_aside(path, piece.broken)
        elif closed:
            path.unlink()  # an incomplete frame at its end was never answered
            self._shipped.pop(path.stem, None)

    def _must_wait(self, frames: Sequence[Frame]) -> bool:
        """Whether the database does not take shadow scores yet, for which an older ledger has no table."""
        if not self._takes_shadow and any(frame.challenger is not None for frame in frames):
            self._takes_shadow = self._connection.execute(TAKES_SHADOW).fetchone() == (True,)
            return not self._takes_shadow
        return False

    def _start(self, path: Path) -> int:
        name = path.stem
        if name not in self._shipped:
            row = self._connection.execute(SHIPPED, [name]).fetchone()
            self._shipped[name] = row[0] if row else 0
        return self._shipped[name]

    def _ship_frames(self, path: Path, frames: Sequence[Frame], start: int) -> None:
        """Raises what psycopg raises: then nothing of it is written, and the place is read again."""
        answers = [frame for frame in frames if frame.model is None]
        moments = [_time(frame.header["at"]) for frame in answers]
        self._state.oldest_at = min((frame.header["at"] for frame in answers), default=None)
        self._shipped.pop(path.stem, None)
        with self._connection.transaction():
            for frame in frames:
                if model := frame.model:
                    self._add_model(model)
            count = self._copy(answers, moments)
            span = (min(moments, default=None), max(moments, default=None))
            recorded = self._connection.execute(RECORD, [path.stem, frames[-1].end, count, *span, start])
            if recorded.rowcount != 1:
                raise RuntimeError(f"{path.name} is shipped by another process, too.")
        self._months |= {each.strftime(MONTH) for each in moments}
        self._shipped[path.stem], self._state.oldest_at = frames[-1].end, None
        self._state.rows += count

    def _add_model(self, model: Mapping[str, Any]) -> None:
        from psycopg.types.json import Jsonb

        self._connection.execute(ADD_MODEL, {**model, "features": Jsonb(model["features"])})

    def _copy(self, answers: Sequence[Frame], moments: Sequence[datetime]) -> int:
        if not answers:
            return 0
        if not {each.strftime(MONTH) for each in moments} <= self._months:
            self._connection.execute(MAKE, [min(moments), max(moments)])
        scores = [frame for frame in answers if frame.challenger is not None]
        self._write(COPY, [copy_rows(frame) for frame in answers if frame.challenger is None])
        self._write(COPY_SHADOW, [shadow_rows(frame) for frame in scores])
        return sum(len(frame.header["entities"]) for frame in answers)

    def _write(self, statement: str, rows: Sequence[bytes]) -> None:
        if rows:
            with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
                copy.write(whole(rows))

    def _set_aside(self, path: Path, reason: str) -> None:
        moved = quarantine(path)
        self._state.quarantined.append(f"{moved.name}: {reason}")
        logger.error("%s is damaged (%s): it was moved to %s.", path.name, reason, moved.parent)


def run(folder: Path, conninfo: str, *, with_workers: bool, ending: Event | None = None) -> None:
    """Ships until it is ended; with `with_workers` until no worker is left and all that can be is shipped.

    Once `ending` is set, until no worker is left and everything is shipped, however long the database is away. The
    caller holds the shipper's lock.
    """
    _Loop(folder, conninfo, with_workers=with_workers, ending=ending or Event()).run()


class _Loop:
    def __init__(self, folder: Path, conninfo: str, *, with_workers: bool, ending: Event) -> None:
        self._folder, self._conninfo, self._with_workers, self._ending = folder, conninfo, with_workers, ending
        self._state = State()

    def run(self) -> None:
        import psycopg

        ended = False
        while not ended:
            ended = self._abandoned()  # what was written before is shipped now, if it can be
            try:
                with psycopg.connect(self._conninfo, autocommit=True) as connection:
                    require_tables(connection)
                    self._ship(Shipper(self._folder, connection, self._state))
            except (psycopg.Error, ConfigurationError) as error:
                self._report(str(error).strip().partition("\n")[0])
                ended = ended and not self._waits_for_database()
                time.sleep(RETRY_SECONDS)
            else:
                return

    def _ship(self, shipper: Shipper) -> None:
        ended = False
        while not ended:
            ended = self._abandoned()
            rows = shipper.ship()
            self._report("")
            if not rows and not ended:
                time.sleep(POLL_SECONDS)

    def _report(self, error: str) -> None:
        """Writes the state, at most once a second while all is well."""
        state, now = self._state, time.time()
        if error and error != state.error:
            logger.warning("Answers wait in %s, since the ledger's database fails: %s.", self._folder, error)
        if error == state.error and now - state.looked_at < REPORT_SECONDS:
            return
        if error:
            state.waiting_bytes = spool_bytes(self._folder)
            state.oldest_at = state.oldest_at or int((state.looked_at or now) * 1e6)
        else:
            state.oldest_at = None
        state.error, state.looked_at = error, now
        write_whole(self._folder / STATE, json.dumps(asdict(state)))

    def _abandoned(self) -> bool:
        """Whether no worker is left: each holds the lock of one file, shared with the others, and of its segment."""
        files = (self._folder / WORKERS, *segment_paths(self._folder))
        return (self._with_workers or self._ending.is_set()) and all(map(is_closed, files))

    def _waits_for_database(self) -> bool:
        """Whether what is left would be lost."""
        return self._ending.is_set() and any(segment_paths(self._folder))


def _time(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)
