"""Starts the stack of this machine, with a prediction service for each use case: `make up`."""

from collections.abc import Sequence
from functools import partial

from asof.errors import ServingError
from asof.settings import Settings, export
from asof.trust.signing_keys import public_text, signing_key, trusted_keys
from asof.use_case import UseCase
from asof.use_cases import load, load_all
from flows.runtime.progress import log
from local.embedded_postgres import postgres
from local.stack import stack
from local.stack.services import prediction_name
from local.stack.stack import State
from training.release.bundling.code_bundle import bundle_code
from training.release.registry.versions import production_number
from training.tracking.client import has_registry
from training.tracking.registry_tables import open_registry


def served_use_cases(settings: Settings, use_case: str) -> list[UseCase]:
    """The use case of that name; without one all that have a version in Production, or else that of ASOF_USE_CASE.

    A use case that does not load is left out with a warning. Raises ConfigurationError as `load` does.
    """
    if use_case:
        return [load(use_case)]
    settings = postgres.ensure(settings)
    every, broken = load_all()
    for why in broken.values():
        log.warning("%s", why)
    served = [each for each in every if _in_production(settings, each)]
    if not served and settings.use_case:
        return [load(settings.use_case)]
    return sorted(served, key=lambda each: each.name != settings.use_case)


def start_stack(settings: Settings, use_cases: Sequence[UseCase], *, whole: bool = False) -> tuple[State, ...]:
    """Starts the servers that are not running. A service is a Bento of the current code without a model.

    `whole`: these are all that is to be served.

    Raises ConfigurationError if a server does not come up.
    """
    settings = postgres.ensure(settings)
    export(settings)
    trusting = settings.model_copy(update={"trusted_keys": _trusted(settings)})
    builds = {each.name: partial(_code_bento, settings, each) for each in use_cases}
    return stack.up(trusting, builds, whole=whole)


def _code_bento(settings: Settings, use_case: UseCase) -> str:
    return bundle_code(settings, use_case).bento_tag


def check_ready(settings: Settings, states: Sequence[State], use_cases: Sequence[UseCase]) -> str:
    """The next step where no version of a use case is in Production yet, otherwise empty.

    Raises ServingError if a service is not ready for another reason.
    """
    if not use_cases:
        return "No use case has a version in Production yet, so none is served: run `make demo`, then `make up` again."
    settings = postgres.ensure(settings)
    by_name = {state.name: state for state in states}
    steps = [_next_step(settings, by_name[prediction_name(each.name)], each) for each in use_cases]
    return "\n".join(filter(None, steps))


def _next_step(settings: Settings, service: State, use_case: UseCase) -> str:
    if not service.note:
        return ""
    if has_registry(settings) and not _in_production(settings, use_case):
        return (
            f"No version of {use_case.model_name} is in Production yet: the service answers 503 until one is. "
            f"Run `make demo USE_CASE={use_case.name}` or `python -m flows retrain {use_case.name}` to train one."
        )
    raise ServingError(f"The prediction service of {use_case.name} is running but not ready: {service.note}")


def _in_production(settings: Settings, use_case: UseCase) -> bool:
    return has_registry(settings) and production_number(open_registry(settings), use_case.model_name) is not None


def _trusted(settings: Settings) -> str:
    """The public keys that the services trust; our signing key is created if no key is set."""
    if not settings.trusted_keys:
        signing_key(settings)
    return public_text(trusted_keys(settings))
