"""Starts the stack of this machine for a use case: `make up`."""

from asof.errors import ServingError
from asof.settings import Settings, export
from asof.trust.signing_keys import public_text, signing_key, trusted_keys
from asof.use_case import UseCase
from local.embedded_postgres import postgres
from local.stack import stack
from local.stack.services import PREDICTION
from local.stack.stack import State
from training.release.bundling.code_bundle import bundle_code
from training.release.registry.versions import production_number
from training.tracking.client import has_registry
from training.tracking.registry_tables import open_registry


def start_stack(settings: Settings, use_case: UseCase) -> tuple[State, ...]:
    """Starts the servers that are not running. The service is a Bento of the current code without a model.

    Raises ConfigurationError if a server does not come up.
    """
    settings = postgres.ensure(settings)
    export(settings)
    trusting = settings.model_copy(update={"trusted_keys": _trusted(settings)})
    return stack.up(trusting, lambda: bundle_code(settings, use_case).bento_tag)


def check_ready(settings: Settings, states: tuple[State, ...], use_case: UseCase) -> str:
    """The next step if no version is in Production yet, otherwise empty.

    Raises ServingError if the service is not ready for another reason.
    """
    (prediction,) = (state for state in states if state.name == PREDICTION)
    if not prediction.note:
        return ""
    settings = postgres.ensure(settings)
    if has_registry(settings) and production_number(open_registry(settings), use_case.model_name) is None:
        return (
            f"No version of {use_case.model_name} is in Production yet: the service answers 503 until one is. "
            f"Run `make demo` or `python -m flows retrain {use_case.name}` to train one."
        )
    raise ServingError(f"The prediction service is running but not ready: {prediction.note}")


def _trusted(settings: Settings) -> str:
    """The public keys that the service trusts; our signing key is created if no key is set."""
    if not settings.trusted_keys:
        signing_key(settings)
    return public_text(trusted_keys(settings))
