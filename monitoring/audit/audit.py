"""A use case and a span of time -> Audit: what each served value of a sample of entities turned out to be.

Of a value v with moment t that was served at T, the rows of its entity say what was known at T and what is known now;
`monitoring.audit.findings` defines the kinds. The ledger is read by one COPY for each model, each view by one.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg

from asof.ledger.reading.find import reading_ledger
from asof.ledger.reading.moved import MovedMonth, moved_months, moved_text
from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from monitoring.audit.auditor import Auditor, Read
from monitoring.audit.findings import INFORMATION, Divergence
from monitoring.audit.judging.tally import FindingShare, Window
from monitoring.audit.reading.rows import Tolerance
from monitoring.audit.reading.sample import Span
from monitoring.audit.reading.served import read_served
from training.data.snapshots.owned_tables import require_own_tables
from training.data.snapshots.tables import LOAD_LOCK, Connection

DAYS = 31
"""Answers of so many days are audited by default."""


@dataclass(frozen=True)
class Audit:
    """What came of it. `shares` has each finding; `windows` the same by version and moment; `first` the first of each.

    `answers` of `entities` were audited, of `population` entities with answers; `values` were compared. `refreshing`
    values are right, and were read while newer ones were on their way. `not_audited` counts values by the reason,
    `erased` the answers that were erased; `moved` are months of answers in files. `notes` are sentences on what could
    not be looked at.
    """

    use_case: str
    since: datetime
    until: datetime
    known_at: datetime
    sample: float
    answers: int = 0
    entities: int = 0
    population: int = 0
    values: int = 0
    refreshing: int = 0
    shares: tuple[FindingShare, ...] = ()
    windows: tuple[Window, ...] = ()
    first: tuple[Divergence, ...] = ()
    not_audited: Mapping[str, int] = field(default_factory=dict)
    erased: int = 0
    moved: tuple[MovedMonth, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> int:
        """Values with a finding that asks for action."""
        return sum(each.values for each in self.shares if each.finding not in INFORMATION)


def audit(
    settings: Settings,
    use_case: UseCase,
    span: Span,
    *,
    tolerance: Tolerance,
    progress: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Audits the answers of a span.

    Raises ConfigurationError if a table belongs to another use case, TrainingSetError if a column is not of its type.
    """
    begun = Audit(use_case.name, span.since, span.until, datetime.now(UTC), span.share)
    if not isinstance(use_case.source, FromStore):
        note = f"The features of {use_case.name} come in the request: nothing was looked up, so nothing is audited."
        return Audit(**vars(begun) | {"notes": (note,)})
    progress("reading answers")
    read = _read_answers(settings, use_case, span)
    moved = tuple(moved_months(settings, since=span.since, until=span.until))
    with _connected(settings, use_case) as (connection, now):
        auditor = Auditor(settings, use_case, connection, read, (now, tolerance))
        auditor.run(progress)
        found = auditor.found()
    notes = tuple(dict.fromkeys(filter(None, [*found["notes"], moved_text(moved)])))
    return Audit(**vars(begun) | found | {"known_at": now, "moved": moved, "notes": notes})


def _read_answers(settings: Settings, use_case: UseCase, span: Span) -> Read:
    with reading_ledger(settings, use_case.name) as ledger:
        models = ledger.models
    if not models:
        return Read()
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        strata = span.strata(connection, list(models))
        answers = [read_served(connection, models[each], span, stratum) for each, stratum in strata.items()]
        return Read(answers, list(strata.values()), span.erased(connection, list(models)))


@contextmanager
def _connected(settings: Settings, use_case: UseCase) -> Iterator[tuple[Connection, datetime]]:
    """One state of all tables, after any load that is at work; and its moment."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        require_own_tables(connection, use_case.extract)
        connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (LOAD_LOCK,))
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            connection.execute("SET LOCAL jit = off")
            ((now,),) = connection.execute("SELECT clock_timestamp()")
            yield connection, now.astimezone(UTC)
