"""Our errors as RFC 9457 problem documents. The only table that maps the error tree to HTTP."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from asof import errors
from asof.errors import AsOfError, InvalidRequest, ServingError

MEDIA_TYPE = "application/problem+json"
OPEN_INFERENCE = "/v2"
"""Paths that begin so are of the Open Inference Protocol, whose errors have the member `error`."""
NOT_JSON = "json_invalid"
INTERNAL_ERROR = "The error was logged under this request id."
MAX_ERRORS, MAX_TEXT = 20, 120
"""Of an invalid request are returned: it may have thousands of unknown fields with long names."""


@dataclass(frozen=True)
class ProblemType:
    """A problem type: HTTP status, stable code, title."""

    status: int
    code: str
    title: str

    @property
    def type(self) -> str:
        """Its stable URI."""
        return f"urn:asof:problem:{self.code}"


BY_ERROR: Mapping[type[AsOfError], ProblemType] = {
    error: ProblemType(status, error.code, title)
    for error, status, title in (
        (errors.Unauthenticated, 401, "Missing or invalid API key"),
        (errors.Forbidden, 403, "The API key lacks the required scope"),
        (errors.InvalidRequest, 422, "The request is invalid"),
        (errors.TooManyInstances, 413, "The batch has too many instances"),
        (errors.EntityNotFound, 404, "No feature view knows this entity"),
        (errors.ModelNotFound, 404, "This service serves another model or version"),
        (errors.MissingFeatures, 422, "A feature that the model needs is null, infinite or absent"),
        (errors.PredictionOutOfRange, 422, "The model predicts an impossible value for these features"),
        (errors.ExplanationUnavailable, 422, "The model has no exact explanation of its answers"),
        (errors.ExplanationTooSlow, 503, "The explanation takes too long"),
        (errors.StaleFeatures, 503, "A feature is stale"),
        (errors.FeatureContractMismatch, 503, "The registered features are not the model's"),
        (errors.FeatureStoreUnavailable, 503, "The feature store does not answer"),
        (errors.LedgerUnavailable, 503, "The ledger's database does not answer"),
        (errors.NotReady, 503, "The service is not ready"),
        (errors.Overloaded, 429, "Too many requests are in flight"),
        (errors.LedgerFull, 503, "The answer cannot be kept in the ledger"),
        (errors.TooManyRequests, 429, "The API key exceeds its request rate"),
    )
}

BY_STATUS: Mapping[int, ProblemType] = {
    status: ProblemType(status, code, title)
    for status, code, title in (
        (400, "malformed-request", "The request is not valid HTTP/1.1"),
        (404, "not-found", "There is nothing at this path"),
        (405, "method-not-allowed", "This path does not support this method"),
        (408, "body-too-slow", "The body did not arrive in time"),
        (413, "body-too-large", "The body is too large"),
        (414, "address-too-long", "The address is too long"),
        (415, "unsupported-media-type", "This path does not support this media type"),
        (431, "headers-too-large", "The headers are too large"),
        (500, "internal-error", "An internal error of the service"),
        (501, "not-implemented", "The transfer coding of the body is not supported"),
        (503, "not-ready", "The service is not ready"),
    )
}

BODY_STATUSES = (408, 413, 415, 501)
"""Of bodies that are refused before they are parsed; the HTTPException has the detail."""


class Problem(BaseModel):
    """An RFC 9457 problem document; a problem type may add members of its own."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="The stable URI of the problem type.")
    title: str
    status: int
    detail: str = Field(description="What happened, and the next step.")
    instance: str = Field(description="The requested path.")
    code: str = Field(description="The problem type in one word, for programs.")
    request_id: str
    errors: list[dict[str, str]] | None = Field(None, description="invalid-request: each place and the rule it breaks.")


@dataclass(frozen=True)
class Occurrence:
    """Where a problem occurred: the path and the request id."""

    instance: str
    request_id: str


def problem_type(error: AsOfError) -> ProblemType:
    """The type of the error's class or its nearest ancestor in the table; of others, an internal error."""
    return next((BY_ERROR[ancestor] for ancestor in type(error).__mro__ if ancestor in BY_ERROR), BY_STATUS[500])


def problem_type_of_status(status: int) -> ProblemType:
    """The problem type of a bare HTTP status."""
    if status in BY_STATUS:
        return BY_STATUS[status]
    phrase = HTTPStatus(status).phrase
    return ProblemType(status, phrase.lower().replace(" ", "-"), phrase)


def problem(kind: ProblemType, detail: str, occurrence: Occurrence, extra: Mapping[str, Any] | None = None) -> Problem:
    """The document. `extra` members never replace the standard ones."""
    standard = {name: getattr(kind, name) for name in ("type", "title", "status", "code")}
    if occurrence.instance.startswith(OPEN_INFERENCE):
        extra = {**(extra or {}), "error": detail}
    return Problem(**{**(extra or {}), **standard, "detail": detail, **vars(occurrence)})


def describe(error: AsOfError, occurrence: Occurrence) -> tuple[Problem, dict[str, str]]:
    """The document of one of our errors, and its headers."""
    kind = problem_type(error)
    if kind.status == 500:
        return problem(kind, INTERNAL_ERROR, occurrence), {}
    headers = {"WWW-Authenticate": "Bearer"} if kind.status == 401 else {}
    if isinstance(error, ServingError):
        headers["Retry-After"] = str(error.retry_after)
    return problem(kind, str(error), occurrence, error.extra), headers


def invalid_request(errors: Iterable[Mapping[str, Any]]) -> InvalidRequest:
    """Pydantic's errors as one of ours: the place and the rule, never the value."""
    parts = [{"at": _place(error), "rule": _rule(error)} for error in itertools.islice(errors, MAX_ERRORS)]
    listed = "; ".join(f"{part['at']}: {part['rule']}" for part in parts)
    return InvalidRequest(f"{listed}. See /docs.json for the schema.", errors=parts)


def _place(error: Mapping[str, Any]) -> str:
    location = error["loc"][:1] if error["type"] == NOT_JSON else error["loc"]
    text = ".".join(map(str, location))[:MAX_TEXT]
    return text.encode(errors="backslashreplace").decode()  # a lone surrogate cannot be sent back


def _rule(error: Mapping[str, Any]) -> str:
    if error["type"] == NOT_JSON:
        return f"not JSON: {error['ctx']['error']} (at character {error['loc'][-1]})"
    return str(error["msg"])
