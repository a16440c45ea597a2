"""One reported outcome: its type in JSON for a use case, and what is wrong with an item that is none."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    WithJsonSchema,
    create_model,
)
from pydantic_core import PydanticCustomError

from asof.extracts.cadence import moment_of, moment_text
from asof.features.entity_key import PAYLOADS
from asof.features.join_keys import JoinKeys, keys_of_extract
from asof.use_case import FromStore, UseCase

Outcome = bool | str | float
MAX_ITEM = 2**15 - 1
MAX_SKEW = timedelta(minutes=1)
"""By how much a caller's clock may be ahead of ours."""
MAX_FAULTS = 5
"""Of one item are reported."""


@dataclass(frozen=True)
class Report:
    """An outcome of one target: of an entity at `as_of`, or of one answer, by the id of its request.

    `entity` is its canonical text, `item` the place in a batch, `key` the client's idempotency key. `acted`: whether
    something was done because of the prediction; `control`: whether the entity is in a control group.
    """

    outcome: Outcome
    observed_at: datetime
    entity: str | None = None
    as_of: datetime | None = None
    request_id: str | None = None
    item: int | None = None
    acted: bool | None = None
    control: bool | None = None
    key: str | None = None


def _moment(value: Any) -> datetime:
    try:
        return moment_of(value if isinstance(value, date) else datetime.fromisoformat(value))
    except (TypeError, ValueError, OverflowError):
        rule = "a moment is text as in 2024-01-31 or 2024-01-31T06:00:00Z; without a zone it is taken as UTC"
        raise PydanticCustomError("moment", rule) from None


_SCHEMA = {"type": "string", "examples": ["2024-02-29T00:00:00Z"]}
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema(_SCHEMA)]
Text = Annotated[str, Field(strict=True, min_length=1, max_length=128, pattern=r"^[^\x00]*$")]
Item = Annotated[int, Field(strict=True, ge=0, le=MAX_ITEM)]


def answers_requests(use_case: UseCase) -> bool:
    """Whether each request is a case of its own, since features come in it; else an entity at a moment is."""
    return not isinstance(use_case.source, FromStore) or use_case.given is not None


def item_type(use_case: UseCase) -> type[BaseModel]:
    """The type of an item of POST /outcomes. An answer is named by its request, any other target by its entity, too."""
    described: dict[str, tuple[Any, Any]] = {
        "outcome": (use_case.target.outcome_type, Field(description="What happened, as the labels have it.")),
        "observed_at": (Moment, Field(description="When it was observed; of several, the latest counts.")),
        "request_id": (Text | None, Field(None, description="Of the answer: its request_id.", examples=[None])),
        "item": (Item | None, Field(None, description="Of a batch: the place of the instance, from 0.")),
        "acted": (StrictBool | None, Field(None, description="Whether something was done because of the prediction.")),
        "control": (StrictBool | None, Field(None, description="Whether it is in a control group.")),
        "key": (Text | None, Field(None, description="Your id of this outcome; sent again with it, it is corrected.")),
    }
    if not answers_requests(use_case):
        as_of = Field(None, description="Of the entity: the newest moment in the answer's as_of.", examples=[None])
        described |= {
            "entity": (
                _entity_type(keys_of_extract(use_case.extract)) | None,
                Field(None, description="In place of a request_id."),
            ),
            "as_of": (Moment | None, as_of),
        }
    members: Any = described
    config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_example(use_case)]})
    return create_model("Outcome", __config__=config, **members)


class ReportReader:
    """Reads items of a use case."""

    def __init__(self, use_case: UseCase) -> None:
        self._type = item_type(use_case)
        self._keys = None if answers_requests(use_case) else keys_of_extract(use_case.extract)

    def read(self, item: Any, now: datetime) -> Report | str:
        """The report in an item of JSON, or what is wrong with it, whatever the ledger has."""
        try:
            members = dict(self._type.model_validate(item))
        except ValidationError as error:
            return _faults(error)
        if self._keys and (given := members["entity"]) is not None:
            given = given.model_dump() if isinstance(given, BaseModel) else given
            members["entity"] = self._keys.text(self._keys.from_members(given))
        report = Report(**members)
        if (report.entity is None) == (report.request_id is None):
            return "give either entity and as_of, or a request_id" if self._keys else "give a request_id"
        return _contradiction(report, now) or report


def _contradiction(report: Report, now: datetime) -> str:
    if report.entity is not None and (report.as_of is None or report.item is not None):
        return "an entity needs its as_of, and has no item"
    if report.as_of and report.as_of > now:
        return f"as_of {moment_text(report.as_of)} is in the future"
    if report.observed_at > now + MAX_SKEW:
        return f"observed_at {moment_text(report.observed_at)} is in the future"
    return ""


def _entity_type(keys: JoinKeys) -> Any:
    """As in other answers: an id, or an object with those of several keys."""
    if len(keys.keys) == 1:
        return PAYLOADS[keys.keys[0].kind]
    members: Any = {key.name: (PAYLOADS[key.kind], ...) for key in keys.keys}
    return create_model("Entity", __config__=ConfigDict(extra="forbid"), **members)


def _example(use_case: UseCase) -> dict[str, Any]:
    outcome = {"Bool": True, "Float64": 1.0}.get(use_case.target.label_type)
    if outcome is None:
        outcome = use_case.target.outcome_type.__args__[0]
    common = {"outcome": outcome, "observed_at": "2024-02-29T00:00:00Z"}
    if answers_requests(use_case):
        return {"request_id": "019b2f6e-5a1c-7c00-8000-000000000000", **common}
    request = use_case.request.model_json_schema().get("examples", [{}])[0]
    entity = {key: request.get(key, "...") for key in use_case.extract.keys}
    members = entity if len(entity) > 1 else next(iter(entity.values()))
    return {"entity": members, "as_of": "2024-01-31", **common}


def _faults(error: ValidationError) -> str:
    every = error.errors(include_url=False, include_input=False, include_context=False)
    listed = [f"{'.'.join(map(str, each['loc']))[:128] or 'item'}: {each['msg']}" for each in every[:MAX_FAULTS]]
    return "; ".join(listed)
