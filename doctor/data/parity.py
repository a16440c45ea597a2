"""The ledger `parity_checks` -> did the online store agree with the snapshots when they were compared last."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from doctor.finding import Finding, error, note, warning
from doctor.given import Given
from doctor.platforms.database import reading

NEWEST = """
SELECT checked_at, users, differing_users, values_wrong, values_past_ttl FROM public.parity_checks
WHERE use_case = %s ORDER BY checked_at DESC LIMIT 1
"""


@dataclass(frozen=True)
class Compared:
    """The newest row of a use case: how many users were compared and differed, values that are wrong or too old."""

    checked_at: datetime
    users: int
    differing_users: int
    values_wrong: int
    values_past_ttl: int


def look_at_parity(given: Given) -> Iterator[Finding]:
    """Every check on the ledger."""
    with reading(given.settings) as connection:
        if connection.execute("SELECT to_regclass('public.parity_checks')").fetchone() == (None,):
            return
        for use_case in given.use_cases:
            with connection.cursor(row_factory=class_row(Compared)) as cursor:
                if row := cursor.execute(NEWEST, (use_case.name,)).fetchone():
                    yield from judged(use_case.name, row)


def judged(use_case: str, last: Compared) -> Iterator[Finding]:
    """What the last comparison says."""
    when = f"when they were compared last ({last.checked_at:%Y-%m-%d %H:%M})"
    if last.values_wrong:
        found = f"{last.values_wrong:,} values online were not those of the snapshots {when}."
        yield error(f"parity:{use_case}", found, f"python -m flows ingest, then python -m flows parity {use_case}")
    elif last.values_past_ttl:
        found = f"{last.values_past_ttl:,} values online were older than their view's ttl {when}."
        yield warning(
            f"parity:{use_case}", found, f"Deliver newer rows; python -m flows parity {use_case} names the users."
        )
    elif not last.users:
        yield note(f"parity:{use_case}", f"There was nothing to compare online and offline {when}.")
