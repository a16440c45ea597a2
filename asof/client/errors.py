"""What the client raises: one tree, with an exception for each problem of the service."""

from collections.abc import Iterator, Mapping
from typing import Any


class ClientError(Exception):
    """The root of the tree."""


class NoAnswer(ClientError):
    """The service could not be reached, or the connection was lost. The same call may succeed."""


class TimedOut(ClientError):
    """The service did not answer within the timeout; it may have done what was asked."""


class UnexpectedAnswer(ClientError):
    """The answer is neither what was asked for nor a problem of the service: a proxy or another server gave it."""


class Problem(ClientError):
    """A problem document of the service (RFC 9457), or that of one instance of a batch.

    `members` has all of the document; `retry_after` are the seconds of the header Retry-After. A code that this version
    does not know is a plain Problem.
    """

    code: str = "about:blank"

    def __init__(self, members: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.members, self.retry_after = members, retry_after
        self.code = str(members.get("code", self.code))
        self.status = int(members.get("status", 0))
        self.detail = str(members.get("detail", ""))
        self.request_id: str | None = members.get("request_id")
        super().__init__(f"{self.code} ({self.status}): {self.detail}")


class CallerProblem(Problem):
    """The request cannot be answered as it is: the same one fails again."""


class ServiceProblem(Problem):
    """The service's fault or a platform's: a retry after `retry_after` seconds may succeed."""


class Unauthenticated(CallerProblem):
    """The API key is missing or invalid."""

    code = "unauthenticated"


class Forbidden(CallerProblem):
    """The API key lacks the scope that the path requires."""

    code = "forbidden"


class InvalidRequest(CallerProblem):
    """A wrong type, an unknown field, a value far from the training data; `errors` has each place and its rule."""

    code = "invalid-request"

    @property
    def errors(self) -> list[dict[str, str]]:
        return list(self.members.get("errors") or ())


class TooManyInstances(CallerProblem):
    """The batch has more instances than the service accepts."""

    code = "too-many-instances"


class EntityNotFound(CallerProblem):
    """No feature view knows the entity."""

    code = "entity-not-found"


class ModelNotFound(CallerProblem):
    """The service serves another model or version."""

    code = "model-not-found"


class MissingFeatures(CallerProblem):
    """A feature of the entity is null, infinite or absent; `missing_features` names each."""

    code = "missing-features"

    @property
    def missing_features(self) -> list[dict[str, Any]]:
        return list(self.members.get("missing_features") or ())


class PredictionOutOfRange(CallerProblem):
    """The model predicts an impossible value for these features."""

    code = "prediction-out-of-range"


class ExplanationUnavailable(CallerProblem):
    """The model has no exact explanation of its answers."""

    code = "explanation-unavailable"


class MalformedRequest(CallerProblem):
    """The request is not valid HTTP/1.1."""

    code = "malformed-request"


class NotFound(CallerProblem):
    """There is nothing at the path."""

    code = "not-found"


class MethodNotAllowed(CallerProblem):
    """The path does not support the method."""

    code = "method-not-allowed"


class BodyTooSlow(CallerProblem):
    """The body did not arrive in time."""

    code = "body-too-slow"


class BodyTooLarge(CallerProblem):
    """The body is too large."""

    code = "body-too-large"


class AddressTooLong(CallerProblem):
    """The address is too long."""

    code = "address-too-long"


class UnsupportedMediaType(CallerProblem):
    """The path does not support the media type."""

    code = "unsupported-media-type"


class HeadersTooLarge(CallerProblem):
    """The headers are too large."""

    code = "headers-too-large"


class TransferCodingNotImplemented(CallerProblem):
    """The transfer coding of the body is not supported."""

    code = "not-implemented"


class StaleFeatures(ServiceProblem):
    """A feature of the entity is stale; `stale_features` names each."""

    code = "stale-features"

    @property
    def stale_features(self) -> list[dict[str, Any]]:
        return list(self.members.get("stale_features") or ())


class ExplanationTooSlow(ServiceProblem):
    """The explanation takes longer than the service allows: ask without it."""

    code = "explanation-too-slow"


class FeatureStoreUnavailable(ServiceProblem):
    """The feature store does not answer."""

    code = "feature-store-unavailable"


class FeatureContractMismatch(ServiceProblem):
    """The registered features are not those of the model."""

    code = "feature-contract-mismatch"


class LedgerUnavailable(ServiceProblem):
    """The ledger's database did not take the outcomes; none was kept."""

    code = "ledger-unavailable"


class LedgerFull(ServiceProblem):
    """The answer cannot be kept, which the service requires."""

    code = "ledger-full"


class NotReady(ServiceProblem):
    """The service does not know yet which model is to answer, or cannot reach its features."""

    code = "not-ready"


class Overloaded(ServiceProblem):
    """More requests are in flight than the service accepts."""

    code = "overloaded"


class TooManyRequests(ServiceProblem):
    """The API key exceeds its request rate."""

    code = "too-many-requests"


class InternalError(ServiceProblem):
    """An internal error of the service, which logged it under `request_id`."""

    code = "internal-error"


def _leaves(kind: type[Problem]) -> Iterator[type[Problem]]:
    for each in kind.__subclasses__():
        yield each
        yield from _leaves(each)


BY_CODE: Mapping[str, type[Problem]] = {each.code: each for each in _leaves(Problem) if "code" in vars(each)}
"""The exception of each code."""


def problem_of(members: Mapping[str, Any], retry_after: float | None = None) -> Problem:
    """The exception of a problem document."""
    return BY_CODE.get(str(members.get("code")), Problem)(members, retry_after)


_BASES: tuple[type[Exception], ...] = (
    *(ClientError, NoAnswer, TimedOut, UnexpectedAnswer),
    *(Problem, CallerProblem, ServiceProblem),
)
__all__ = [each.__name__ for each in (*_BASES, *BY_CODE.values())]
