"""An error -> an RFC 9457 problem document. The one table that translates our error tree to HTTP."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from asof.errors import (
    AsOfError,
    EntityNotFound,
    FeatureContractMismatch,
    FeatureStoreUnavailable,
    Forbidden,
    InvalidRequest,
    MissingFeatures,
    NotReady,
    Overloaded,
    RequestError,
    ServingError,
    StaleFeatures,
    TooManyInstances,
    TooManyRequests,
    Unauthenticated,
)

MEDIA_TYPE = "application/problem+json"
NOT_JSON = "json_invalid"
FAILED = "The error was logged under this request id."
MOST, MOST_TEXT = 20, 120
"""A caller may send thousands of unknown fields with long names: not all of them are sent back."""


@dataclass(frozen=True)
class Kind:
    """One kind of problem: HTTP status, stable code, title, and headers that always go with it."""

    status: int
    code: str
    title: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The stable URI of the kind."""
        return f"urn:asof:problem:{self.code}"


BY_ERROR: Mapping[type[AsOfError], Kind] = {
    Unauthenticated: Kind(401, Unauthenticated.code, "No API key that counts", {"WWW-Authenticate": "Bearer"}),
    Forbidden: Kind(403, Forbidden.code, "The API key has not the scope that this address takes"),
    InvalidRequest: Kind(422, InvalidRequest.code, "The request is not what this service takes"),
    TooManyInstances: Kind(413, TooManyInstances.code, "The batch holds more instances than this service takes"),
    EntityNotFound: Kind(404, EntityNotFound.code, "No feature view knows this entity"),
    MissingFeatures: Kind(422, MissingFeatures.code, "A feature that the model needs is null, infinite or absent"),
    StaleFeatures: Kind(503, StaleFeatures.code, "A feature is not of this moment"),
    FeatureContractMismatch: Kind(503, FeatureContractMismatch.code, "The registered features are not the model's"),
    FeatureStoreUnavailable: Kind(503, FeatureStoreUnavailable.code, "The feature store does not answer"),
    NotReady: Kind(503, NotReady.code, "The service is not ready"),
    Overloaded: Kind(429, Overloaded.code, "Too many requests are in flight"),
    TooManyRequests: Kind(429, TooManyRequests.code, "The API key asks more often than it may"),
}

BY_STATUS: Mapping[int, Kind] = {
    400: Kind(400, "malformed-request", "The request is not valid HTTP/1.1"),
    404: Kind(404, "not-found", "There is nothing at this address"),
    405: Kind(405, "method-not-allowed", "This address does not take this method"),
    408: Kind(408, "body-too-slow", "The body did not arrive in time"),
    413: Kind(413, "body-too-large", "The body is larger than this service takes"),
    414: Kind(414, "address-too-long", "The address is longer than this service takes"),
    415: Kind(415, "unsupported-media-type", "The body is of a type that this address does not take"),
    431: Kind(431, "headers-too-large", "The headers are longer than this service takes"),
    500: Kind(500, "internal-error", "An error of the service"),
    501: Kind(501, "not-implemented", "The body is in a transfer coding that this service does not read"),
    503: Kind(503, "not-ready", "The service is not ready"),
}

BODY = (408, 413, 415, 501)
"""What may be wrong with a body before it is looked at; its detail is said where it was found."""


class Problem(BaseModel):
    """An RFC 9457 problem document; a kind may add members of its own."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="The stable URI of the kind of problem.")
    title: str
    status: int
    detail: str = Field(description="What happened, and the next step.")
    instance: str = Field(description="The path that was asked.")
    code: str = Field(description="The kind of problem in one word, for programs.")
    request_id: str
    errors: list[dict[str, str]] | None = Field(None, description="invalid-request: each place and the rule it breaks.")


@dataclass(frozen=True)
class Occurrence:
    """Where a problem occurred: the path and the request's id."""

    instance: str
    request_id: str


def kind_of(error: AsOfError) -> Kind:
    """The table's row for an error's class or its nearest ancestor; what is not in the table is an internal error."""
    return next((BY_ERROR[ancestor] for ancestor in type(error).__mro__ if ancestor in BY_ERROR), BY_STATUS[500])


def kind_of_status(status: int) -> Kind:
    """The kind for a bare HTTP status."""
    if status in BY_STATUS:
        return BY_STATUS[status]
    phrase = HTTPStatus(status).phrase
    return Kind(status, phrase.lower().replace(" ", "-"), phrase)


def problem(kind: Kind, detail: str, occurrence: Occurrence, extra: Mapping[str, Any] | None = None) -> Problem:
    """The document. `extra` members never replace the standard ones."""
    standard = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "instance": occurrence.instance,
        "code": kind.code,
        "request_id": occurrence.request_id,
    }
    return Problem(**{**(extra or {}), **standard})


def describe(error: AsOfError, occurrence: Occurrence) -> tuple[Problem, dict[str, str]]:
    """The document for one of our errors, and the headers that go with it."""
    kind = kind_of(error)
    if kind.status == 500:
        return problem(kind, FAILED, occurrence), {}
    extra = error.extra if isinstance(error, RequestError | ServingError) else {}
    headers = dict(kind.headers)
    if isinstance(error, ServingError):
        headers["Retry-After"] = str(error.retry_after)
    return problem(kind, str(error), occurrence, extra), headers


def invalid_request(errors: Iterable[Mapping[str, Any]]) -> InvalidRequest:
    """Pydantic's findings, as FastAPI gives them, in our terms: the place and the rule, never the value."""
    parts = [{"at": _place(error), "rule": _rule(error)} for error in itertools.islice(errors, MOST)]
    listed = "; ".join(f"{part['at']}: {part['rule']}" for part in parts)
    return InvalidRequest(f"{listed}. See /docs.json for what is taken.", errors=parts)


def _place(error: Mapping[str, Any]) -> str:
    location = error["loc"][:1] if error["type"] == NOT_JSON else error["loc"]
    return ".".join(map(str, location))[:MOST_TEXT]


def _rule(error: Mapping[str, Any]) -> str:
    if error["type"] == NOT_JSON:
        return f"not JSON: {error['ctx']['error']} (at character {error['loc'][-1]})"
    return str(error["msg"])
