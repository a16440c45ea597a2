"""The table `promotions` -> the entries that name one version; none where there is no such table yet."""

from dataclasses import dataclass, replace
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from asof.settings import Settings
from training.lineage.loads import exists, in_utc

ENTRIES = """
SELECT seq, event, version, previous, at, who, reason, fingerprint, bento, hash FROM public.promotions
WHERE model = %s AND %s IN (version, previous) ORDER BY seq"""


@dataclass(frozen=True)
class Promotion:
    """An entry of the history: after it `version` was in Production, before it `previous`; None: nothing was."""

    seq: int
    event: str
    version: str | None
    previous: str | None
    at: datetime
    who: str
    reason: str
    fingerprint: str
    bento: str
    hash: str


def promotions(settings: Settings, model: str, version: str) -> tuple[Promotion, ...]:
    """Every entry that brought the version into Production or took it out, oldest first."""
    with psycopg.connect(settings.conninfo()) as connection:
        if not exists(connection, "promotions"):
            return ()
        with connection.cursor(row_factory=class_row(Promotion)) as cursor:
            found = cursor.execute(ENTRIES, (model, version)).fetchall()
    return tuple(replace(entry, at=in_utc(entry.at)) for entry in found)
