"""Check of the last parity check of each use case, from the table `parity_checks`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from doctor.context import Context
from doctor.finding import Finding, error, note, warning
from doctor.platforms.database import read_only

LAST_CHECK = """
SELECT checked_at, users, differing_users, values_wrong, values_past_ttl FROM public.parity_checks
WHERE use_case = %s ORDER BY checked_at DESC LIMIT 1
"""


@dataclass(frozen=True)
class ParityCheck:
    """The newest row of a use case: users compared and differing, values wrong and older than their ttl."""

    checked_at: datetime
    users: int
    differing_users: int
    values_wrong: int
    values_past_ttl: int


def check_parity(context: Context) -> Iterator[Finding]:
    """The last comparison of each use case."""
    with read_only(context.settings) as connection:
        if connection.execute("SELECT to_regclass('public.parity_checks')").fetchone() == (None,):
            return
        for use_case in context.use_cases:
            with connection.cursor(row_factory=class_row(ParityCheck)) as cursor:
                if row := cursor.execute(LAST_CHECK, (use_case.name,)).fetchone():
                    yield from check_last(use_case.name, row)


def check_last(use_case: str, last: ParityCheck) -> Iterator[Finding]:
    """The finding on a comparison."""
    when = f"at the last parity check ({last.checked_at:%Y-%m-%d %H:%M})"
    if last.values_wrong:
        found = f"{last.values_wrong:,} online values differed from the snapshots {when}."
        yield error(f"parity:{use_case}", found, f"python -m flows ingest, then python -m flows parity {use_case}")
    elif last.values_past_ttl:
        found = f"{last.values_past_ttl:,} online values were older than their view's ttl {when}."
        fix = f"Deliver newer rows; python -m flows parity {use_case} names the users."
        yield warning(f"parity:{use_case}", found, fix)
    elif not last.users:
        yield note(f"parity:{use_case}", f"There was nothing to compare {when}.")
