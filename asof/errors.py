"""Every error that AsOf raises on purpose. No HTTP and no platform here: `asof.serving.http.problems` translates.

Each message names the thing and the next step.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class AsOfError(Exception):
    """The root of the tree; `code` names the kind of error for programs, in problem documents and batch results.

    `extra` are further members of the problem document; `read` are the values behind a refusal, for the ledger.
    """

    code: ClassVar[str] = "internal-error"
    read: Any = None

    def __init__(self, message: str, **extra: Any) -> None:
        self.extra: Mapping[str, Any] = extra
        super().__init__(message)


class ConfigurationError(AsOfError):
    """A setting is missing, malformed or contradicts another."""


class WorkerMismatch(ConfigurationError):
    """A worker has other code, libraries or another database than the command that sent it work."""


class RangeFailed(AsOfError):
    """The work on one range of keys failed wherever it was tried. What other ranges wrote stays."""


class DataError(AsOfError):
    """Data is not what it must be; nothing was changed."""


class ExtractError(DataError):
    """A file of an extract breaks a rule of its table; `findings` has one sentence for each violation."""

    def __init__(self, findings: Sequence[str]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(self.findings))


class SourceError(DataError):
    """The server or the query of a raw table is away, fails, or cannot describe the moment asked for."""


class HistoryError(DataError):
    """A load would rewrite rows that were already known."""


class InspectionError(DataError):
    """The data checks found errors that the use case has not acknowledged; `names` are the names of the findings."""

    def __init__(self, message: str, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(message)


class TrainingSetError(DataError):
    """No training set can be built for this moment: no features, no labels, or labels that are not of the target."""


class ModelError(AsOfError):
    """A model, version or Bento is absent, does not load or is of another use case."""


class NotCompiled(ModelError):
    """A model has no ONNX version that predicts the same: scikit-learn serves it. The message is the reason."""


class NotExplained(ModelError):
    """A model's answers have no exact explanation. The message is the reason."""


class UntrustedModel(ModelError):
    """A model's bytes are not what a trusted key signed, or it contains a type that is not trusted."""


class UnknownSigner(UntrustedModel):
    """No trusted key signed the model."""


class ScoringError(AsOfError):
    """A scoring run cannot start or continue. What is written stays; the same call continues from there."""


class RegistryUnavailable(AsOfError):
    """MLflow did not report the production version or did not send a version's files; a retry may succeed."""


class RequestError(AsOfError):
    """The caller's fault."""


class Unauthenticated(RequestError):
    """The API key is missing or invalid."""

    code = "unauthenticated"


class Forbidden(RequestError):
    """The API key lacks the scope that the path requires."""

    code = "forbidden"


class InvalidRequest(RequestError):
    """A malformed body, a wrong type, an unknown field."""

    code = "invalid-request"


class TooManyInstances(RequestError):
    """A batch of more instances than the service accepts."""

    code = "too-many-instances"


class EntityNotFound(RequestError):
    """No feature view knows this entity."""

    code = "entity-not-found"


class ModelNotFound(RequestError):
    """The path names a model or version other than the served one."""

    code = "model-not-found"


class MissingFeatures(RequestError):
    """The entity is known, but a required feature is null, infinite or absent."""

    code = "missing-features"


class PredictionOutOfRange(RequestError):
    """The model predicts a value for these features that is impossible for its target."""

    code = "prediction-out-of-range"


class ExplanationUnavailable(RequestError):
    """The model has no exact explanation of its answers."""

    code = "explanation-unavailable"


class ServingError(AsOfError):
    """Our fault or a platform's: a retry may succeed."""

    retry_after: int = 1
    """Seconds, the value of Retry-After."""


class ExplanationTooSlow(ServingError):
    """The explanation of an answer takes longer than the service allows."""

    code = "explanation-too-slow"


class StaleFeatures(ServingError):
    """A feature is older than its view allows, and the view's policy is `refuse`."""

    code = "stale-features"
    retry_after = 60


class FeatureStoreUnavailable(ServingError):
    """The online store or the registry did not answer in time."""

    code = "feature-store-unavailable"


class FeatureContractMismatch(FeatureStoreUnavailable):
    """The registered features are not those that the model was trained on."""

    code = "feature-contract-mismatch"
    retry_after = 30


class LedgerUnavailable(ServingError):
    """The ledger's database did not take what was to be written; nothing was."""

    code = "ledger-unavailable"
    retry_after = 5


class NotReady(ServingError):
    """The service follows the registry and does not know yet which version is in production."""

    code = "not-ready"


class Overloaded(ServingError):
    """More requests are in flight than the service accepts."""

    code = "overloaded"


class LedgerFull(ServingError):
    """The answer could not be kept, and the settings require it."""

    code = "ledger-full"


class TooManyRequests(ServingError):
    """An API key exceeds its request rate."""

    code = "too-many-requests"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


NOT_KEPT = "The answer could not be kept in the ledger, which is required: retry shortly."

DISK_ERRORS = ("No space left on device", "Disk quota exceeded", "Read-only file system", "database or disk is full")


def is_disk_error(error: object) -> bool:
    """Whether the message of an error, raised by any library, is about a full or read-only disk."""
    return any(text in str(error) for text in DISK_ERRORS)


def is_missing_library(error: Exception) -> bool:
    """Whether an import failed: of a module, or of a library of the system that one needs, as LightGBM's libgomp."""
    return isinstance(error, ImportError) or (isinstance(error, OSError) and error.errno is None)
