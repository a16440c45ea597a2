"""A use case -> the stack of this machine, whose prediction service follows what is in Production: `make up`."""

from asof.errors import NO_MODEL_YET, ServingError
from asof.settings import Settings, export
from asof.trust.signing_keys import public_text, signing_key, trusted_keys
from asof.use_case import UseCase
from local.embedded_postgres import postgres
from local.stack import stack
from local.stack.services import PREDICTION
from local.stack.stack import State
from training.release.bundling.code_bundle import bundle_code


def bring_up(settings: Settings, use_case: UseCase) -> tuple[State, ...]:
    """Starts what does not run yet. The service is a Bento of the code as it is now, without a model.

    Raises ConfigurationError where a server does not come up.
    """
    settings = postgres.ensure(settings)
    export(settings)
    bento = bundle_code(settings, use_case).bento_tag
    return stack.up(settings.model_copy(update={"trusted_keys": _trusted(settings)}), bento)


def check_answers(states: tuple[State, ...], use_case: UseCase) -> str:
    """The next step where nothing is in Production yet, else nothing.

    Raises ServingError where something is, and does not answer.
    """
    (prediction,) = (state for state in states if state.name == PREDICTION)
    if not prediction.note:
        return ""
    if prediction.note == NO_MODEL_YET.format(name=use_case.model_name):
        return (
            f"No version of {use_case.model_name} is in Production yet: the service answers 503 until one is. "
            f"`make demo` or `python -m flows retrain {use_case.name}` makes one."
        )
    raise ServingError(f"The prediction service runs, and answers 503: {prediction.note}")


def _trusted(settings: Settings) -> str:
    """What the service is told: the file of our own key is made where nothing has been signed yet."""
    if not settings.trusted_keys:
        signing_key(settings)
    return public_text(trusted_keys(settings))
