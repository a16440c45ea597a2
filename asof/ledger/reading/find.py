"""Finds answers in the ledger: those of a request, those that a Selection chooses, and a stable sample of them.

The answers of a UUIDv7 are looked for at its time, those of another id by an index on the callers' ids.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, LiteralString

from asof.ledger.reading.kept_answer import KeptAnswer, KeptModel, kept_answer
from asof.ledger.request_id import MAX_SKEW, UUID7, time_of
from asof.settings import Settings

if TYPE_CHECKING:
    from psycopg import Connection

LONGEST = timedelta(minutes=3)
"""Between the arrival of a request and its answer, with much to spare; the last items of a batch come latest."""
NEAR = (timedelta(hours=1), timedelta(days=1), timedelta(days=31))
"""The newest answers are looked for in the last of these first: the index on time has no order."""
COLUMNS: LiteralString = """
SELECT at, request, item, caller_id, api_key, entity, status, code, score, scores, decision, target_as_of, model,
    verdicts, floats, integers, texts, moments
FROM ledger.predictions WHERE model = ANY(%(models)s)"""
BY_ID: LiteralString = " AND request = %(request)s AND at BETWEEN %(first)s AND %(last)s"
BY_CALLER: LiteralString = " AND caller_id = %(request)s"
OLDEST_FIRST: LiteralString = " ORDER BY at, request, item"
FILTERS: Mapping[str, LiteralString] = {
    "entity": " AND entity = %(entity)s",
    "since": " AND at >= %(since)s",
    "until": " AND at < %(until)s",
    "code": " AND code = %(code)s",
    "scored": " AND status = 200 AND code IS NULL",
}
NEWEST_FIRST: LiteralString = " ORDER BY at DESC, request DESC, item DESC LIMIT %(limit)s"
BY_HASH: LiteralString = " ORDER BY md5(request::text || ':' || coalesce(item, -1)), at LIMIT %(limit)s"
EXISTS = "SELECT WHERE to_regclass('ledger.predictions') IS NOT NULL"
MODELS = f"SELECT {', '.join(each.name for each in fields(KeptModel))} FROM ledger.models"  # noqa: S608 - constants


@dataclass(frozen=True)
class Selection:
    """Which answers of a use case; each member that is set leaves some out. `until` is exclusive.

    `entity` is the id, or its JSON of several keys; `scored`: those with a prediction.
    """

    entity: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    code: str | None = None
    scored: bool = False


class LedgerReader:
    """The answers of one use case, read over one connection; none where there is no ledger yet.

    `models` are those of the use case, by id.
    """

    def __init__(self, connection: "Connection[Any]", use_case: str) -> None:
        self._connection = connection
        models = self._rows(MODELS) if self._rows(EXISTS) else []
        self.models = {row["id"]: KeptModel(**row) for row in models if row["use_case"] == use_case}
        self._others = {row["id"]: KeptModel(**row) for row in models if row["use_case"] != use_case}

    def of_request(self, request_id: str) -> list[KeptAnswer]:
        """The answers with that id, oldest first; of `ID:PLACE` that of a batch's item."""
        return self._of_request(request_id, self.models)

    def other_use_case(self, request_id: str) -> str | None:
        """Another use case that has answers with that id."""
        answers = self._of_request(request_id, self._others)
        return answers[0].model.use_case if answers else None

    def find(self, selection: Selection, limit: int) -> list[KeptAnswer]:
        """The newest answers of a selection, at most `limit`, the newest first."""
        end = selection.until or datetime.now(UTC)
        for span in () if selection.entity else NEAR:
            if selection.since and selection.since >= end - span:
                break
            answers = self._selected(replace(selection, since=end - span), limit, NEWEST_FIRST)
            if len(answers) == limit:
                return answers
        return self._selected(selection, limit, NEWEST_FIRST)

    def sample(self, selection: Selection, limit: int) -> list[KeptAnswer]:
        """At most `limit` answers of a selection, chosen by a hash of their ids: the same ones each time."""
        return self._selected(selection, limit, BY_HASH)

    def _of_request(self, request_id: str, models: Mapping[int, KeptModel]) -> list[KeptAnswer]:
        batch, _, place = request_id.rpartition(":")
        if batch and place.isascii() and place.isdecimal():
            answers = [each for each in self._with_id(batch, models) if each.item == int(place)]
            return answers or self._with_id(request_id, models)
        return self._with_id(request_id, models)

    def _with_id(self, request_id: str, models: Mapping[int, KeptModel]) -> list[KeptAnswer]:
        text = request_id.lower()
        if UUID7.fullmatch(text):
            span = {"first": time_of(text) - MAX_SKEW, "last": time_of(text) + MAX_SKEW + LONGEST}
            if answers := self._answers(COLUMNS + BY_ID + OLDEST_FIRST, models, request=text, **span):
                return answers
        return self._answers(COLUMNS + BY_CALLER + OLDEST_FIRST, models, request=request_id)

    def _selected(self, selection: Selection, limit: int, order: LiteralString) -> list[KeptAnswer]:
        values = vars(selection)
        query = COLUMNS + "".join(text for name, text in FILTERS.items() if values[name]) + order
        return self._answers(query, self.models, limit=limit, **values)

    def _answers(self, query: LiteralString, models: Mapping[int, KeptModel], **values: Any) -> list[KeptAnswer]:
        rows = self._rows(query, values | {"models": list(models)}) if models else []
        return [kept_answer(row, models[row["model"]]) for row in rows]

    def _rows(self, query: str, values: Mapping[str, Any] | None = None) -> Sequence[dict[str, Any]]:
        from psycopg.rows import dict_row

        with self._connection.cursor(row_factory=dict_row, binary=True) as cursor:
            return cursor.execute(query.encode(), values).fetchall()


@contextmanager
def reading_ledger(settings: Settings, use_case: str) -> Iterator[LedgerReader]:
    """A reader for a block."""
    import psycopg

    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        yield LedgerReader(connection, use_case)
