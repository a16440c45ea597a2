"""Kept answers of a use case by what a person names: a request, an entity, a time."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from asof.errors import DataError
from asof.extracts.cadence import moment_of
from asof.features.join_keys import keys_of_extract
from asof.ledger.reading.find import Selection, reading_ledger
from asof.ledger.reading.kept_answer import KeptAnswer
from asof.ledger.reading.waiting import found_or_shipped
from asof.settings import Settings
from asof.use_case import FromStore, UseCase


def find_kept(
    settings: Settings, use_case: UseCase, *, request: str | None, limit: int, **chosen: Any
) -> Sequence[KeptAnswer]:
    """The newest answers; `chosen` are entity, since, until and code. Raises DataError for a malformed entity."""
    if request is not None:
        if any(chosen.values()):
            raise DataError("--request names answers by itself: leave the other options out.")
        return of_request(settings, use_case, request)[:limit]
    with reading_ledger(settings, use_case.name) as ledger:
        return ledger.find(selection(use_case, **chosen), limit)


def of_request(settings: Settings, use_case: UseCase, request_id: str) -> Sequence[KeptAnswer]:
    """The answers with an id, oldest first; waits some seconds for one that is not shipped yet."""

    def find() -> Sequence[KeptAnswer]:
        with reading_ledger(settings, use_case.name) as ledger:
            return ledger.of_request(request_id)

    return found_or_shipped(find, settings.ledger_folder, request_id)


def sample_kept(settings: Settings, use_case: UseCase, count: int, **chosen: Any) -> Sequence[KeptAnswer]:
    """A sample of the answers with a prediction: the same one each time."""
    with reading_ledger(settings, use_case.name) as ledger:
        return ledger.sample(selection(use_case, scored=True, **chosen), count)


def selection(
    use_case: UseCase,
    *,
    entity: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    code: str | None = None,
    scored: bool = False,
) -> Selection:
    """Moments without a zone are in UTC. Raises DataError for an entity that has not the use case's keys."""
    return Selection(
        entity=None if entity is None else _entity_text(use_case, entity),
        since=since and moment_of(since),
        until=until and moment_of(until),
        code=code,
        scored=scored,
    )


def _entity_text(use_case: UseCase, entity: str) -> str:
    """As the service keeps it."""
    source = use_case.source
    if not isinstance(source, FromStore):
        raise DataError(f"The features of {use_case.name} come in the request: its answers have no entity.")
    keys = keys_of_extract(source.extract)
    if len(keys.names) == 1:
        return entity
    try:
        return keys.text(keys.from_members(json.loads(entity)))
    except (ValueError, KeyError, TypeError):
        example = json.dumps(keys.members(keys.probe))
        raise DataError(f"{entity} has not the keys {', '.join(keys.names)}: write it as {example}.") from None
