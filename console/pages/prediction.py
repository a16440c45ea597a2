"""Try a prediction: the service answers it, with the visitor's own key, and the ledger has the values behind it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import UNPROCESSABLE_ENTITY
from typing import Any

import httpx

from asof.errors import DataError, ServingError
from asof.ledger.reading.choose import of_request
from asof.ledger.reading.kept_answer import KeptAnswer
from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from console.visit import Context, Visit
from local.stack import background
from local.stack.services import prediction_name
from local.stack.stack import run_folder
from training.audit.lineage.trace import AnswerChains, trace_request

TIMEOUT_SECONDS, SHIPPED_SECONDS = 10.0, 3.0
BODY = "body"
"""The field with the whole request as JSON, where the use case's payload is not flat."""
KEPT = "AsOf-Kept"


@dataclass(frozen=True)
class Field:
    """An input of the form; `kind` is that of its JSON schema (string, integer, number or boolean)."""

    name: str
    kind: str
    description: str
    required: bool
    text: str


@dataclass(frozen=True)
class Answered:
    """The service's answer, and what the ledger kept of it (None: nothing, or not yet)."""

    status: int
    answer: Mapping[str, Any]
    kept: KeptAnswer | None


def view(visit: Visit) -> Context:
    fields = fields_of(visit.use_case)
    given = visit.form or {}
    shown = [Field(**vars(each) | {"text": given.get(each.name, each.text)}) for each in fields]
    answered = _ask(visit, _body(fields, visit.form)) if visit.form is not None else None
    body, now = given.get(BODY, _example_text(visit.use_case)), visit.settings.now()
    return {"fields": shown, "body": body, "answered": answered, "now": now}


def trace(visit: Visit) -> Context:
    """The lineage of the answer in the rest of the path. Raises DataError or ModelError as `trace_request` does."""
    chain = trace_request(visit.settings, visit.use_case, visit.rest)
    return {"chains": chain.answers if isinstance(chain, AnswerChains) else (chain,), "request_id": visit.rest}


def fields_of(use_case: UseCase) -> list[Field]:
    """The inputs of a flat payload; empty where it has lists or objects."""
    if not isinstance(use_case.source, FromStore):
        return []
    schema, example = use_case.request.model_json_schema(), _example(use_case)
    required = schema.get("required", ())
    return [
        Field(
            name,
            _kind(member),
            member.get("description", ""),
            name in required,
            "" if example.get(name) is None else _text(example[name]),
        )
        for name, member in schema["properties"].items()
    ]


def _kind(member: Mapping[str, Any]) -> str:
    """The type; of a member that may be null, the other one."""
    options = member.get("anyOf", [member])
    return next((each["type"] for each in options if each.get("type", "null") != "null"), "string")


def _body(fields: list[Field], form: Mapping[str, str]) -> str:
    """The request as JSON; what is wrong with it the service says."""
    if not fields:
        return form.get(BODY, "")
    return json.dumps({each.name: _typed(text, each.kind) for each in fields if (text := form.get(each.name, ""))})


def _typed(text: str, kind: str) -> Any:
    """The value in a field; text that has not the field's type stays text, which the service refuses."""
    if kind in ("integer", "number", "boolean"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _ask(visit: Visit, body: str) -> Answered:
    """Raises ServingError where the service does not answer."""
    address = service_address(visit.settings, visit.use_case)
    headers = {"content-type": "application/json"}
    if visit.visitor.key:
        headers["authorization"] = f"Bearer {visit.visitor.key}"
    try:
        response = httpx.post(f"{address}/predict", content=body.encode(), headers=headers, timeout=TIMEOUT_SECONDS)
        answer = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise ServingError(
            f"The prediction service at {address} does not answer ({error}): see `make status`."
        ) from None
    in_ledger = response.headers.get(KEPT, "none") != "none" and response.status_code != UNPROCESSABLE_ENTITY
    kept = _kept(visit, str(answer["request_id"])) if in_ledger else None  # an invalid request has read no value
    return Answered(response.status_code, answer, kept)


def _kept(visit: Visit, request: str) -> KeptAnswer | None:
    """What is kept of an answer, as soon as it is shipped: the spool may be on another machine."""
    until = time.monotonic() + SHIPPED_SECONDS
    while not (answers := of_request(visit.settings, visit.use_case, request)) and time.monotonic() < until:
        time.sleep(0.1)
    return answers[0] if answers else None


def service_address(settings: Settings, use_case: UseCase) -> str:
    """ASOF_CONSOLE_SERVICE_URL, or the service that `make up` started. Raises DataError where neither is there."""
    if settings.console_service_url:
        return settings.console_service_url.rstrip("/")
    running = background.find(prediction_name(use_case.name), run_folder(settings))
    if running is None:
        raise DataError(
            f"No prediction service of {use_case.name} runs here: `make up ARGS={use_case.name}` starts it. "
            "Or set ASOF_CONSOLE_SERVICE_URL to its address."
        )
    return running.address


def _example(use_case: UseCase) -> Mapping[str, Any]:
    examples: list[dict[str, Any]] = use_case.request.model_json_schema().get("examples", [{}])
    return examples[0]


def _example_text(use_case: UseCase) -> str:
    return json.dumps(_example(use_case), ensure_ascii=False)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
