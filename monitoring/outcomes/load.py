"""Rows of a file or query -> outcomes in the ledger, with the verdicts of POST /outcomes."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

import psycopg

from asof.errors import DataError, LedgerUnavailable
from asof.extracts.cadence import moment_text
from asof.ledger.outcomes.record import Verdict, record
from asof.ledger.outcomes.report import Report, ReportReader, answers_requests
from asof.ledger.outcomes.targets import Connection
from asof.ledger.schema import require_tables
from asof.settings import Settings
from asof.use_case import UseCase

SOURCE = "load"
"""Of rows that are loaded; keys of the service's clients mean nothing to them."""
MAX_EXAMPLES = 20
DECLARE = "INSERT INTO ledger.complete_outcomes (use_case, target_as_of, actor) VALUES (%s, %s, %s)"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class RefusedRow:
    """A row that was not loaded, by its number from 1, and why."""

    row: int
    verdict: Verdict
    reason: str | None


@dataclass(frozen=True)
class LoadedOutcomes:
    """How many rows have each verdict, the first rows that were refused, and the moments declared complete."""

    rows: int
    verdicts: Mapping[Verdict, int]
    refused: Sequence[RefusedRow]
    complete: Sequence[datetime] = ()


def load_outcomes(
    settings: Settings, use_case: UseCase, batches: Iterable[Sequence[Any]], progress: Progress = lambda _: None
) -> LoadedOutcomes:
    """Adds the outcomes in batches of items, each in one transaction: what an interruption leaves out, a second call
    adds. Raises LedgerUnavailable where the ledger is away, ConfigurationError where it has no tables.
    """
    counts, refused, numbers, reader = Counter[Verdict](), list[RefusedRow](), count(1), ReportReader(use_case)
    with _connected(settings) as connection:
        require_tables(connection)
        for batch in batches:
            reports = [reader.read(each, settings.now()) for each in batch]
            for number, result in zip(numbers, record(connection, use_case, reports, SOURCE), strict=False):
                counts[result.verdict] += 1
                if result.reason and len(refused) < MAX_EXAMPLES:
                    refused.append(RefusedRow(number, result.verdict, result.reason))
            progress(f"{counts.total():,} rows")
    return LoadedOutcomes(counts.total(), {each: counts[each] for each in Verdict}, refused)


def moments_of(use_case: UseCase, batches: Iterable[Sequence[Any]], now: datetime) -> list[datetime]:
    """The moments of all items, which may be declared complete.

    Raises DataError where an item cannot be read or names no moment, or the horizon of one has not ended.
    """
    if answers_requests(use_case):
        raise DataError(f"Outcomes of {use_case.name} belong to requests: there is no moment to declare complete.")
    reader = ReportReader(use_case)
    moments = set[datetime]()
    for number, item in enumerate((each for batch in batches for each in batch), 1):
        report = reader.read(item, now)
        if not isinstance(report, Report) or report.as_of is None:
            reason = report if isinstance(report, str) else "it has no as_of"
            raise DataError(f"Row {number} keeps the outcomes from being complete: {reason}. Nothing was loaded.")
        moments.add(report.as_of)
    for moment in sorted(moments):
        if (end := use_case.extract.cadence.labels_known(moment)) > now:
            raise DataError(
                f"Outcomes of {moment_text(moment)} are complete from {moment_text(end)} on: load them without "
                "--complete until then. Nothing was loaded."
            )
    return sorted(moments)


def declare_complete(settings: Settings, use_case: UseCase, moments: Sequence[datetime], actor: str) -> None:
    """Records that the outcomes of these moments are complete from now on."""
    with _connected(settings) as connection, connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(DECLARE, [(use_case.name, moment, actor) for moment in moments])


@contextmanager
def _connected(settings: Settings) -> Iterator[Connection]:
    try:
        with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
            yield connection
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        raise LedgerUnavailable(
            f"The ledger's database does not answer: {reason}. Run the same command again once it does."
        ) from None
