"""Months of answers that are not in `ledger.predictions` any more: moved to files, or being moved."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from asof.extracts.cadence import moment_of
from asof.ledger.partitions import PREDICTIONS, month_of, partitions
from asof.ledger.reading.find import LONGEST
from asof.ledger.request_id import MAX_SKEW, UUID7, time_of
from asof.settings import Settings

EXPORTS = """
SELECT DISTINCT partition, file, rows FROM ledger.exports WHERE partition ~ '^predictions_' ORDER BY partition, file"""
EXISTS = "SELECT to_regclass('ledger.exports') IS NOT NULL"
MONTH = timedelta(days=31)


@dataclass(frozen=True)
class MovedMonth:
    """`file` has `rows` answers of the month, as YYYY-MM. It is empty where `flows ledger keep` was interrupted."""

    month: str
    file: str
    rows: int | None = None


def moved_months(
    settings: Settings, *, request: str | None = None, since: datetime | None = None, until: datetime | None = None
) -> Sequence[MovedMonth]:
    """The months, oldest first, in which an answer of that request, or from a span of time, may be.

    All of them for a request whose id does not tell its time. Moments without a zone are in UTC.
    """
    import psycopg

    since, until = (request and _span_of(request)) or (since and moment_of(since), until and moment_of(until))
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        if connection.execute(EXISTS).fetchone() != (True,):
            return []
        files = [(month_of(name), file, rows) for name, file, rows in connection.execute(EXPORTS)]
        hidden = [
            (each.start, "", None) for each in partitions(connection) if each.table == PREDICTIONS and each.hidden
        ]
    return [
        MovedMonth(f"{start:%Y-%m}", file, rows)
        for start, file, rows in sorted(files + hidden, key=lambda each: each[:2])
        if (until is None or start < until) and (since is None or _end(start) > since)
    ]


def moved_text(months: Sequence[MovedMonth]) -> str:
    """Sentences on these months, with the next step; empty without any."""
    moved = [f"{each.month} ({each.rows:,} answers) to {each.file}" for each in months if each.file]
    hidden = [each.month for each in months if not each.file]
    sentences = [
        f"Months of answers were moved to files: {'; '.join(moved)}. Read these as docs/operations/operations.md shows."
    ]
    interrupted = (
        f"Moving {', '.join(hidden)} was interrupted: run `python -m flows ledger keep` again, which completes it."
    )
    return " ".join([*(sentences if moved else []), *([interrupted] if hidden else [])])


def _span_of(request: str) -> tuple[datetime, datetime] | None:
    """When the answers of an id of version 7, or of an item `ID:PLACE`, can have been given."""
    text = request.lower().partition(":")[0]
    if not UUID7.fullmatch(text):
        return None
    try:
        at = time_of(text)
    except (ValueError, OverflowError):
        return None
    return max(at, datetime(2000, 1, 1, tzinfo=UTC)) - MAX_SKEW, at + MAX_SKEW + LONGEST


def _end(start: datetime) -> datetime:
    return (start + MONTH).replace(day=1)
