"""The targets of reported outcomes: the entities and answers that the ledger has."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, class_row
from psycopg.types.json import Json

from asof.extracts.cadence import moment_text
from asof.ledger.outcomes.report import Report, answers_requests
from asof.ledger.request_id import MAX_SKEW, UUID7, time_of
from asof.use_case import UseCase

MODELS: LiteralString = "SELECT id FROM ledger.models WHERE use_case = %s"
# Without the limit the planner may scan all predictions.
ENTITIES: LiteralString = """
SELECT asked.entity FROM json_array_elements_text(%(entities)s) AS asked (entity) CROSS JOIN LATERAL (
    SELECT FROM ledger.predictions p
    WHERE p.entity = asked.entity AND p.status = 200 AND p.model = ANY(%(models)s) LIMIT 1
) AS answer"""
REQUESTS: LiteralString = """
SELECT p.request, p.caller_id, p.item, p.entity, p.target_as_of, p.at
FROM unnest(%(first)s::timestamptz[], %(last)s::timestamptz[]) AS span (first, last)
JOIN ledger.predictions p ON p.at BETWEEN span.first AND span.last
WHERE p.request = ANY(%(requests)s) AND p.status = 200 AND p.model = ANY(%(models)s)"""
CALLERS: LiteralString = """
SELECT p.request, p.caller_id, p.item, p.entity, p.target_as_of, p.at FROM ledger.predictions p
WHERE p.caller_id = ANY(%(callers)s) AND p.status = 200 AND p.model = ANY(%(models)s)"""

LONGEST_REQUEST = timedelta(minutes=3)
"""From the moment in a request's id to its last answer."""

Connection = psycopg.Connection[TupleRow]


@dataclass(frozen=True)
class Answer:
    """One answer in the ledger."""

    request: UUID
    caller_id: str | None
    item: int | None
    entity: str | None
    target_as_of: datetime | None
    at: datetime


@dataclass(frozen=True)
class Target:
    """What an outcome belongs to. `unit` identifies it among those of the use case."""

    unit: str
    entity: str | None
    as_of: datetime | None
    request: UUID | None = None
    item: int | None = None


@dataclass(frozen=True)
class Unknown:
    """Why the ledger has no target for a report."""

    reason: str


@dataclass(frozen=True)
class KnownTargets:
    """The entities and answers of some reports that the ledger has; answers by the id that a report names."""

    use_case: UseCase
    entities: frozenset[str]
    answers: Mapping[str, Sequence[Answer]]

    @cached_property
    def _by_request(self) -> bool:
        return answers_requests(self.use_case)

    def target(self, report: Report) -> Target | Unknown | str:
        """The report's target, or why there is none, or what is wrong with the report."""
        if report.request_id is None:
            assert report.entity is not None and report.as_of is not None  # noqa: S101, PT018 - by `read_report`
            if report.entity not in self.entities:
                return Unknown("the ledger has no answer for this entity")
            unit = self.unit(report.entity, report.as_of, None, None)
            return _too_early(report, report.as_of) or Target(unit, report.entity, report.as_of)
        return self._of_answer(report)

    def _of_answer(self, report: Report) -> Target | Unknown | str:
        every = self.answers.get(str(report.request_id), ())
        if len({each.request for each in every}) > 1:
            return "several requests have this id, which their callers chose"
        answers = [each for each in every if each.item == report.item]
        if not answers:
            named = report.item is None and every
            return "the request is a batch: give the item" if named else Unknown("the ledger has no such answer")
        (answer, *_) = answers
        if report.as_of and report.as_of != answer.target_as_of:
            shown = moment_text(answer.target_as_of) if answer.target_as_of else "no moment"
            return f"the answer is as of {shown}, not {moment_text(report.as_of)}"
        parts = answer.entity, answer.target_as_of, answer.request, answer.item
        return _too_early(report, answer.target_as_of or answer.at) or Target(self.unit(*parts), *parts)

    def unit(self, entity: str | None, as_of: datetime | None, request: UUID | None, item: int | None) -> str:
        """The name of a target: the entity and moment, or the answer where each is a case of its own."""
        if self._by_request or entity is None or as_of is None:
            return f"{request}/{item}"
        return f"{as_of.astimezone(UTC).isoformat()} {entity}"


def known_targets(connection: Connection, use_case: UseCase, reports: Iterable[Report]) -> KnownTargets:
    """Looks up the targets of reports, in a few queries for all of them."""
    every = list(reports)
    models = [id_ for (id_,) in connection.execute(MODELS, [use_case.name])]
    entities = list({each.entity for each in every if each.entity is not None})
    found = connection.execute(ENTITIES, {"entities": Json(entities), "models": models}) if entities else ()
    ids = {each.request_id for each in every if each.request_id is not None}
    return KnownTargets(use_case, frozenset(entity for (entity,) in found), _answers(connection, ids, models))


def _answers(connection: Connection, ids: set[str], models: Sequence[int]) -> Mapping[str, Sequence[Answer]]:
    if not ids:
        return {}
    by_id: defaultdict[str, list[Answer]] = defaultdict(list)
    spelled = {uuid: each for each in ids if (uuid := _version_7(each))}
    first, last = _spans(spelled)
    with connection.cursor(row_factory=class_row(Answer)) as cursor:
        parameters = {"first": first, "last": last, "requests": list(spelled), "models": models}
        for answer in cursor.execute(REQUESTS, parameters) if spelled else ():
            by_id[spelled[answer.request]].append(answer)
        for answer in cursor.execute(CALLERS, {"callers": list(ids - {*by_id}), "models": models}):
            by_id[str(answer.caller_id)].append(answer)
    return by_id


def _version_7(text: str) -> UUID | None:
    """The id, where the ledger may have it as that of a request."""
    try:
        return UUID(text) if UUID7.fullmatch(text) and time_of(text) else None
    except ValueError:
        return None


def _spans(requests: Iterable[UUID]) -> tuple[list[datetime], list[datetime]]:
    """Spans of time that hold the answers of all requests, without overlaps: the ledger has no index of requests."""
    firsts, lasts = list[datetime](), list[datetime]()
    for moment in sorted(time_of(str(each)) for each in requests):
        if lasts and moment - MAX_SKEW <= lasts[-1]:
            lasts[-1] = moment + LONGEST_REQUEST
        else:
            firsts.append(moment - MAX_SKEW)
            lasts.append(moment + LONGEST_REQUEST)
    return firsts, lasts


def _too_early(report: Report, moment: datetime) -> str:
    if report.observed_at >= moment:
        return ""
    return f"observed_at {moment_text(report.observed_at)} is before the prediction's moment {moment_text(moment)}"
