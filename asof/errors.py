"""Every error that AsOf raises on purpose. No HTTP and no platform here: `asof.serving.http.problems` translates.

AsOfError
├── ConfigurationError        a setting is missing, malformed or contradicts another
├── DataError                 data is not what it must be; nothing was changed
│   ├── ExtractError          a file of an extract breaks a rule of its table
│   ├── HistoryError          a load would rewrite what was already known
│   ├── InspectionError       the data checks found errors that nobody has acknowledged
│   └── TrainingSetError      no features, no labels, or labels of one class at this moment
├── ModelError                a model, version or Bento is absent, does not load or is of another use case
│   ├── NotCompiled           it has no counterpart in ONNX that says the same: scikit-learn serves it
│   └── UntrustedModel        its bytes are not what a trusted key has signed, or it holds a type that is not trusted
├── ScoringError              a batch of scores cannot begin or go on; what is written stays, the same call goes on
├── RegistryUnavailable       MLflow did not say what is in Production, or did not give its files
├── RequestError              the caller's fault
│   ├── Unauthenticated       no API key that counts
│   ├── Forbidden             the API key has not the scope that the address takes
│   ├── InvalidRequest        a malformed body, a wrong type, an unknown field
│   ├── TooManyInstances      a batch of more instances than the service takes
│   ├── EntityNotFound        no feature view knows this entity
│   └── MissingFeatures       the entity is known, a required feature is null, infinite or absent
└── ServingError              our fault, or the platform's; worth another try
    ├── StaleFeatures         a feature is older than its view allows, and the view refuses
    ├── FeatureStoreUnavailable
    │   └── FeatureContractMismatch   the registry's features are not those of the model
    ├── NotReady              the service has not yet found out which model it is to serve
    ├── Overloaded
    └── TooManyRequests       an API key asks more often than it may

Each message names the thing and the next step.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class AsOfError(Exception):
    """The root of the tree; `code` names the kind of error for programs: in problem documents and batches of scores."""

    code: ClassVar[str] = "internal-error"


class ConfigurationError(AsOfError):
    """A setting is missing, malformed or contradicts another."""


class DataError(AsOfError):
    """Data is not what it must be; nothing was changed."""


class ExtractError(DataError):
    """A file of an extract breaks a rule of its table; `findings` holds one sentence for each."""

    def __init__(self, findings: Sequence[str]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(self.findings))


class HistoryError(DataError):
    """A load would rewrite what was already known."""


class InspectionError(DataError):
    """The data checks found errors that the use case has not acknowledged; `names` are those of the findings."""

    def __init__(self, message: str, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(message)


class TrainingSetError(DataError):
    """No training set can be built for this moment."""


class ModelError(AsOfError):
    """A model, version or Bento is absent, does not load or is of another use case."""


class NotCompiled(ModelError):
    """A model has no counterpart in ONNX that says the same: scikit-learn serves it. The message is a reason."""


class UntrustedModel(ModelError):
    """A model's bytes are not what a trusted key has signed, or it holds a type that is not trusted."""


class ScoringError(AsOfError):
    """A batch of scores cannot begin, or cannot go on; what is written stays, and the same call goes on from there."""


class RegistryUnavailable(AsOfError):
    """MLflow did not say what is in Production, or did not give a version's files; the same may succeed later."""


class RequestError(AsOfError):
    """The caller's fault. `extra` goes into the problem document as it stands."""

    def __init__(self, message: str, **extra: Any) -> None:
        self.extra: Mapping[str, Any] = extra
        super().__init__(message)


class Unauthenticated(RequestError):
    """The request brings no API key, or none that counts."""

    code = "unauthenticated"


class Forbidden(RequestError):
    """The API key has not the scope that the address takes."""

    code = "forbidden"


class InvalidRequest(RequestError):
    """A malformed body, a wrong type, an unknown field."""

    code = "invalid-request"


class TooManyInstances(RequestError):
    """A batch of more instances than the service takes."""

    code = "too-many-instances"


class EntityNotFound(RequestError):
    """No feature view knows this entity."""

    code = "entity-not-found"


class MissingFeatures(RequestError):
    """The entity is known, but a required feature is null, infinite or absent."""

    code = "missing-features"


class ServingError(AsOfError):
    """Our fault, or the platform's: the same request may succeed later."""

    retry_after: int = 1
    """Seconds to wait, as told in Retry-After."""

    def __init__(self, message: str, **extra: Any) -> None:
        self.extra: Mapping[str, Any] = extra
        super().__init__(message)


class StaleFeatures(ServingError):
    """A feature is older than its view allows, and the view's policy is to refuse."""

    code = "stale-features"

    retry_after = 60


class FeatureStoreUnavailable(ServingError):
    """The online store or the registry did not answer in time."""

    code = "feature-store-unavailable"


class FeatureContractMismatch(FeatureStoreUnavailable):
    """The registry's features are not those that the model was trained on: a prediction would be a guess."""

    code = "feature-contract-mismatch"

    retry_after = 30


class NotReady(ServingError):
    """The service follows the registry and has not yet found out which model it is to serve."""

    code = "not-ready"


NO_MODEL_YET = "No version of {name} has been loaded yet. Promote one, and see GET /model."
"""The text of a NotReady before the first promotion."""


class Overloaded(ServingError):
    """More requests are in flight than the service accepts."""

    code = "overloaded"


class TooManyRequests(ServingError):
    """An API key asks more often than it may."""

    code = "too-many-requests"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


WORDS = ("No space left on device", "Disk quota exceeded", "Read-only file system", "database or disk is full")


def is_disk_trouble(error: object) -> bool:
    """By the words of the error, through whichever library it came."""
    return any(words in str(error) for words in WORDS)
