"""Promotions and rollbacks of a registered model: append-only, hash-chained entries of `public.promotions`.

An entry is written before MLflow changes. The history is the source of truth, and MLflow is updated from it.
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

# `json` stores the text that was hashed; `jsonb` would rewrite its numbers. ALWAYS: the trigger fires in sessions that
# set session_replication_role, too.
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
    """`undone` reverts the entry before it; `adopted` records a version that MLflow had in Production already."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    UNDONE = "undone"
    ADOPTED = "adopted"


@dataclass(frozen=True)
class Change:
    """A change of what is in Production: from version `previous` to `version` (None: nothing is in Production).

    `evidence` is JSON, such as the gate's criteria. `fingerprint` is that of the version's training set, `bento` the
    tag of the Bento that serves it; both are empty where they are unknown.
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
    """A row of the table. `previous_hash` is the hash of the model's entry before it, empty for the first."""

    model: str
    seq: int
    at: datetime
    who: str
    previous_hash: str
    hash: str = ""

    @property
    def digest(self) -> str:
        """What `hash` must be: SHA-256 of all other columns, as JSON with sorted keys and the moment in UTC."""
        columns = {name: value for name, value in asdict(self).items() if name != "hash"}
        columns["at"] = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        return hashlib.sha256(json.dumps(columns, sort_keys=True).encode()).hexdigest()


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
    """Adds an entry for each change in one transaction. Raises UniqueViolation where another process was quicker."""
    head = next(reversed(read_history(connection, model)), None)
    new = []
    for change in changes:
        head = _next_entry(change, model, head, who=who)
        new.append(head)
    with connection.transaction():
        for entry in new:
            row = vars(entry) | {"evidence": Json(entry.evidence)}
            connection.execute(INSERT, [row[each.name] for each in fields(Entry)])
    return new


@contextmanager
def reading(settings: Settings) -> Iterator[Connection]:
    """A read-only connection."""
    with psycopg.connect(settings.conninfo(default_transaction_read_only="on"), autocommit=True) as connection:
        yield connection


@contextmanager
def writing(settings: Settings) -> Iterator[Connection]:
    """An autocommit connection; creates the table if it does not exist."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        create_if_absent(connection, TABLE, CREATE)
        yield connection


def _next_entry(change: Change, model: str, before: Entry | None, *, who: str) -> Entry:
    entry = Entry(
        **vars(change),
        model=model,
        seq=before.seq + 1 if before else 1,
        at=datetime.now(UTC),
        who=who,
        previous_hash=before.hash if before else "",
    )
    return replace(entry, hash=entry.digest)
