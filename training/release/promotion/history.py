"""What became of a registered model -> entries of `public.promotions`: append-only, hash-chained, one chain a model.

An entry is written before the registry is touched: what it says counts, and the registry is brought to it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import psycopg
from psycopg.rows import TupleRow, class_row
from psycopg.types.json import Json

from asof.settings import Settings
from training.data.snapshots.owned_tables import create_if_absent, table_exists

Connection = psycopg.Connection[TupleRow]

# `json`, not `jsonb`, which writes numbers in its own way: what was hashed is what is stored. ALWAYS: the triggers
# hold in a session, too, that has set session_replication_role.
CREATE = """
CREATE TABLE public.promotions (
    model text NOT NULL,
    seq bigint NOT NULL,
    event text NOT NULL,
    version text,
    previous text,
    at timestamptz NOT NULL,
    who text NOT NULL,
    reason text NOT NULL,
    evidence json NOT NULL,
    fingerprint text NOT NULL,
    bento text NOT NULL,
    previous_hash text NOT NULL,
    hash text NOT NULL,
    PRIMARY KEY (model, seq)
);
CREATE OR REPLACE FUNCTION public.asof_refuse_other_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of table % is refused: it is append-only; promote or roll back, and an entry is added',
        TG_OP, TG_TABLE_NAME;
END $$;
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.promotions
    FOR EACH STATEMENT EXECUTE FUNCTION public.asof_refuse_other_history();
ALTER TABLE public.promotions ENABLE ALWAYS TRIGGER append_only
"""


class Event(StrEnum):
    """What an entry tells of. `undone` takes the entry before it back; `adopted` finds a version in Production."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    UNDONE = "undone"
    ADOPTED = "adopted"


@dataclass(frozen=True)
class Change:
    """What an entry says by itself: `version` is in Production after it (None: nothing is), `previous` was before it.

    `evidence` is what the decision rests on, as JSON; `fingerprint` that of the version's training set; `bento` the
    tag of the Bento that serves the version, as the code was then. Both are empty where nobody knows.
    """

    event: Event
    version: str | None
    previous: str | None
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    bento: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry(Change):
    """A row of the table. `previous_hash` is the hash of the model's entry before, empty for the first."""

    model: str
    seq: int
    at: datetime
    who: str
    previous_hash: str
    hash: str = ""

    @property
    def digest(self) -> str:
        """What `hash` must be: SHA-256 of all other columns, as JSON with sorted keys and the moment in UTC."""
        told = {name: value for name, value in asdict(self).items() if name != "hash"}
        told["at"] = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


TABLE = "public.promotions"
COLUMNS = ", ".join(each.name for each in fields(Entry))
READ = f"SELECT {COLUMNS} FROM public.promotions WHERE model = %s ORDER BY seq, at, hash"  # noqa: S608
INSERT = f"INSERT INTO public.promotions ({COLUMNS}) VALUES ({', '.join(['%s'] * len(fields(Entry)))})"  # noqa: S608


def read_history(connection: Connection, model: str) -> list[Entry]:
    """The model's entries, oldest first; none where there is no table yet."""
    if not table_exists(connection, TABLE):
        return []
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(READ, (model,)).fetchall()


def append(connection: Connection, model: str, changes: Sequence[Change], *, who: str) -> list[Entry]:
    """Adds an entry for each change, all or none, and commits. Raises UniqueViolation where another was quicker."""
    head = next(reversed(read_history(connection, model)), None)
    new = []
    for change in changes:
        head = _sealed(change, model, head, who=who)
        new.append(head)
    with connection.transaction():
        for entry in new:
            row = vars(entry) | {"evidence": Json(entry.evidence)}
            connection.execute(INSERT, [row[each.name] for each in fields(Entry)])
    return new


@contextmanager
def reading(settings: Settings) -> Iterator[Connection]:
    """A connection that can change nothing."""
    with psycopg.connect(settings.conninfo(default_transaction_read_only="on"), autocommit=True) as connection:
        yield connection


@contextmanager
def writing(settings: Settings) -> Iterator[Connection]:
    """A connection on which each statement commits; the table is there."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        create_if_absent(connection, TABLE, CREATE)
        yield connection


def _sealed(change: Change, model: str, before: Entry | None, *, who: str) -> Entry:
    entry = Entry(
        **vars(change),
        model=model,
        seq=before.seq + 1 if before else 1,
        at=datetime.now(UTC),
        who=who,
        previous_hash=before.hash if before else "",
    )
    return replace(entry, hash=entry.digest)
