"""The ledger, or a saved answer -> Answer: what is known of one prediction."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from asof.errors import DataError
from asof.features.feature_contract import Feature
from asof.features.join_keys import keys_of_extract
from asof.inference.verdicts import Verdict, row_moments
from asof.ledger.reading.choose import of_request
from asof.ledger.reading.find import reading_ledger
from asof.ledger.reading.kept_answer import KeptAnswer, KeptValue
from asof.ledger.reading.moved import moved_months, moved_text
from asof.ledger.reading.waiting import waits
from asof.settings import Settings
from asof.use_case import FromStore, UseCase

LEDGER = "the ledger"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer of /predict, and the file that holds it, or LEDGER. Moments are in UTC.

    `at` is None if the time of the answer is unknown, `entity` if the features came in the request; of several keys it
    has each by name. `as_of` has the oldest moment of the values by feature view, `as_of_features` the moment by
    feature, for views with several. `status` is that of HTTP, `code` that of the problem document, empty for a
    prediction. `fingerprint` is that of the model's training set. `values` are those that were kept.
    """

    request_id: str
    use_case: str
    at: datetime | None = None
    status: int
    code: str = ""
    entity: str | int | Mapping[str, str | int] | None
    name: str
    version: str | None
    run_id: str
    bento: str
    fingerprint: str = ""
    as_of: Mapping[str, datetime] = field(default_factory=dict)
    as_of_features: Mapping[str, datetime] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    found_in: str
    values: tuple[KeptValue, ...] = ()


def find_answers(settings: Settings, use_case: UseCase, request_id: str) -> list[Answer]:
    """The kept answers with that id, oldest first; several if an id was used repeatedly.

    Waits some seconds for one that is not shipped yet. Raises DataError if there is none.
    """

    kept = of_request(settings, use_case, request_id)
    if not kept:
        raise _not_found(settings, use_case, request_id)
    if len({each.item for each in kept}) > 1:
        raise DataError(f"Request {request_id} was a batch: name one of its items, as {kept[0].request_id}.")
    return [answer_of(each, use_case) for each in kept]


def _not_found(settings: Settings, use_case: UseCase, request_id: str) -> DataError:
    with reading_ledger(settings, use_case.name) as ledger:
        other = ledger.other_use_case(request_id)
    if other:
        return DataError(f"Request {request_id} was answered by {other}: name that use case.")
    if waits(settings.ledger_folder, request_id):
        return DataError(
            f"Answer {request_id} waits in {settings.ledger_folder} and is not in the ledger yet: try again shortly. "
            "If it stays there, run `python -m flows doctor`."
        )
    if moved := moved_text(moved_months(settings, request=request_id)):
        return DataError(f"No answer {request_id} of {use_case.name} is in the ledger. {moved}")
    return DataError(
        f"No answer {request_id} of {use_case.name} is in the ledger: the service must keep it (ASOF_LEDGER=process). "
        "Or pass the answer itself: a file, or - for stdin."
    )


def answer_of(kept: KeptAnswer, use_case: UseCase) -> Answer:
    """A kept answer with its moments by view."""
    model, source = kept.model, use_case.source
    features = [Feature(each.feature, each.view or "", each.type) for each in kept.values]
    moments: Mapping[str, Any] = row_moments(features, [each.as_of for each in kept.values])
    keys = keys_of_extract(source.extract) if isinstance(source, FromStore) else None
    flags = [each.feature for each in kept.values if each.verdict is not Verdict.PRESENT] if not kept.code else []
    return Answer(
        request_id=kept.request_id,
        use_case=model.use_case,
        at=kept.at,
        status=kept.status,
        code=kept.code or "",
        entity=keys.members(keys.parse(kept.entity)) if keys and kept.entity is not None else None,
        name=model.name,
        version=model.version,
        run_id=model.run_id,
        bento=model.bento,
        fingerprint=model.fingerprint,
        **moments,
        flags=tuple(flags),
        found_in=LEDGER,
        values=kept.values,
    )


def read_answer(text: str, use_case: UseCase, found_in: str) -> Answer:
    """A saved answer of /predict. Raises DataError if the text is not one, or is of another model."""
    try:
        answer = _answer(json.loads(text), use_case, found_in)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{found_in} holds no answer of {use_case.name}'s /predict ({error!r}): save the complete answer."
        ) from None
    if answer.name != use_case.model_name:
        raise DataError(f"{found_in} is an answer of {answer.name}, not of {use_case.model_name}: name its use case.")
    return answer


def _answer(payload: Mapping[str, Any], use_case: UseCase, found_in: str) -> Answer:
    source = use_case.source
    known = {
        "use_case": use_case.name,
        "status": 200,
        "entity": _entity(payload, source.extract.keys) if isinstance(source, FromStore) else None,
        "flags": [flag["feature"] for flag in (*payload["flags"], *payload.get("overridden", ()))],
        "found_in": found_in,
    }
    model = {name: value for name, value in payload["model"].items() if name != "as_of"}
    return TypeAdapter(Answer).validate_python({**payload, **model, **known})


def _entity(payload: Mapping[str, Any], keys: Sequence[str]) -> Any:
    members = {name: payload[name] for name in keys}
    return members if len(keys) > 1 else members[keys[0]]
