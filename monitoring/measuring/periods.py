"""What a window is: the moment whose outcome is predicted (`target_as_of`), by which figures are told.

Where all features come in the request there is no such moment: a window is the month of the answer. Where tables are
used in place, each row may hold from a moment of its own: a window is a step of the use case's cadence. Both are named
by their first moment.
"""

from datetime import UTC, datetime, timedelta

from psycopg import sql

from asof.extracts.cadence import Every
from asof.extracts.sources import InPlace
from asof.use_case import FromStore, UseCase

TICK = timedelta(microseconds=1)
"""PostgreSQL's resolution of time."""


def window_column(use_case: UseCase) -> sql.Composed:
    """The window of a row `p` of the ledger in SQL, null where it has none of its own."""
    moment, step = sql.SQL("p.target_as_of" if isinstance(use_case.source, FromStore) else "p.at"), _step(use_case)
    if step is None:
        return sql.Composed([moment])
    return sql.SQL("date_trunc({}, {}, 'UTC')").format(sql.Literal(str(step)), moment)


def window_ends(use_case: UseCase, as_of: datetime) -> tuple[datetime, datetime]:
    """The first and the last moment of a window."""
    match _step(use_case):
        case None:
            return as_of, as_of
        case Every.MONTH:
            return as_of, month_of(as_of + timedelta(days=32)) - TICK
        case step:
            return as_of, step.after(as_of) - TICK


def month_of(moment: datetime) -> datetime:
    """The first moment of its month in UTC."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _step(use_case: UseCase) -> Every | None:
    if not isinstance(use_case.source, FromStore):
        return Every.MONTH
    extract = use_case.extract
    in_place = any(isinstance(table.source, InPlace) for table in (*extract.tables, extract.labels))
    return extract.cadence.every if in_place else None
