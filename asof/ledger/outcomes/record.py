"""Reports -> rows of `ledger.outcomes`, and a verdict for each report.

Rows of one event are versions of one observation, of which the newest is valid. An event is named by the client's key,
or else by its target and `observed_at`; names of one source mean nothing to another.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, LiteralString
from uuid import UUID

from pydantic_core import to_json

from asof.ledger.outcomes.report import Outcome, Report
from asof.ledger.outcomes.targets import Connection, KnownTargets, Target, Unknown, known_targets
from asof.use_case import UseCase

LOCK: LiteralString = "SELECT pg_advisory_xact_lock(hashtextextended('asof outcomes ' || %s, 0))"
READERS_LOCK: LiteralString = "SELECT pg_advisory_xact_lock_shared(hashtextextended('asof outcomes ' || %s, 0))"
"""Rows get their `created_at` under this lock: who waits for it sees all rows up to the moment at which it has it."""
VERSIONS: LiteralString = """
SELECT DISTINCT ON (event) event, entity, target_as_of, request, item, outcome, observed_at, acted, control
FROM ledger.outcomes WHERE event = ANY(%s::uuid[]) ORDER BY event, created_at DESC, id DESC"""
# Not a COPY: while one waits for rows, no timeout of the server ends it and the lock that it holds. JSON, as arrays of
# PostgreSQL take psycopg ten times as long to write.
INSERT: LiteralString = """
INSERT INTO ledger.outcomes (use_case, source, created_at, event, entity, request, item, target_as_of, outcome,
    observed_at, acted, control, client_key)
SELECT %s, %s, now.at, event, entity, request, item, target_as_of, outcome, observed_at, acted, control, key
FROM (SELECT clock_timestamp() AS at) AS now, ROWS FROM (json_to_recordset(%s) AS (
    event uuid, entity text, request uuid, item smallint, target_as_of timestamptz, outcome jsonb,
    observed_at timestamptz, acted boolean, control boolean, key text
)) WITH ORDINALITY AS rows (
    event, entity, request, item, target_as_of, outcome, observed_at, acted, control, key, number
) ORDER BY number"""

ROWS_AT_ONCE = 500
"""Are written as JSON while no other thread can run."""


class Verdict(StrEnum):
    """What became of a report; a row was added for the first and the third."""

    ACCEPTED = "accepted"
    UNCHANGED = "unchanged"
    CORRECTED = "corrected"
    UNKNOWN = "unknown"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Result:
    """The verdict on one report, with the reason of UNKNOWN and REJECTED."""

    verdict: Verdict
    reason: str | None = None


@dataclass(frozen=True)
class _Version:
    """The content of an event's row."""

    unit: str
    outcome: Outcome
    observed_at: datetime
    acted: bool | None
    control: bool | None


@dataclass(frozen=True)
class _Row:
    event: UUID
    target: Target
    report: Report
    version: _Version


def record(connection: Connection, use_case: UseCase, reports: Sequence[Report | str], source: str) -> list[Result]:
    """Adds what is new, in one transaction or savepoint; the result of each report, in order.

    A report that could not be read is the reason. `source` names who reports. Raises psycopg.Error.
    """
    with connection.transaction():
        known = known_targets(connection, use_case, (each for each in reports if isinstance(each, Report)))
        connection.execute(LOCK, [use_case.name])
        rows = [_row(use_case, source, each, known) for each in reports]
        versions = _versions(connection, known, [row.event for row in rows if isinstance(row, _Row)])
        results, added = list[Result](), list[_Row]()
        for row in rows:
            result = _judge(row, versions) if isinstance(row, _Row) else row
            results.append(result)
            if isinstance(row, _Row) and result.verdict in (Verdict.ACCEPTED, Verdict.CORRECTED):
                versions[row.event] = row.version
                added.append(row)
        _add(connection, use_case.name, source, added)
    return results


def _row(use_case: UseCase, source: str, report: Report | str, known: KnownTargets) -> "_Row | Result":
    target = known.target(report) if isinstance(report, Report) else report
    if isinstance(target, Unknown):
        return Result(Verdict.UNKNOWN, target.reason)
    if isinstance(target, str) or isinstance(report, str):
        return Result(Verdict.REJECTED, str(target))
    name = (report.key,) if report.key is not None else (target.unit, report.observed_at.isoformat())
    digest = hashlib.sha256("\0".join((use_case.name, source, *name)).encode()).digest()  # none of them has a NUL
    version = _Version(target.unit, report.outcome, report.observed_at, report.acted, report.control)
    return _Row(UUID(bytes=digest[:16]), target, report, version)


def _judge(row: _Row, versions: Mapping[UUID, _Version]) -> Result:
    before = versions.get(row.event)
    if before is None:
        return Result(Verdict.ACCEPTED)
    if before.unit != row.version.unit:
        return Result(Verdict.REJECTED, "the key is that of an outcome of another target: give another one")
    return Result(Verdict.UNCHANGED if before == row.version else Verdict.CORRECTED)


def _versions(connection: Connection, known: KnownTargets, events: Sequence[UUID]) -> dict[UUID, _Version]:
    """The newest version of each event that has one."""
    rows = connection.execute(VERSIONS, [f"{{{','.join(each.hex for each in events)}}}"])
    return {
        event: _Version(known.unit(entity, as_of, request, item), *content)
        for event, entity, as_of, request, item, *content in rows
    }


def _add(connection: Connection, use_case: str, source: str, rows: Sequence[_Row]) -> None:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        document = to_json([_values(row) for row in rows[start : start + ROWS_AT_ONCE]])
        connection.execute(INSERT, [use_case, source, document.decode()])


def _values(row: _Row) -> dict[str, Any]:
    target, report = row.target, row.report
    return {
        "event": row.event,
        "entity": target.entity,
        "request": target.request,
        "item": target.item,
        "target_as_of": target.as_of,
        "outcome": report.outcome,
        "observed_at": report.observed_at,
        "acted": report.acted,
        "control": report.control,
        "key": report.key,
    }
