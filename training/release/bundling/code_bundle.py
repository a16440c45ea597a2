"""A use case -> a Bento without a model, which serves what is in Production; building needs no MLflow or PostgreSQL."""

import warnings
from dataclasses import dataclass

from asof.settings import Settings
from asof.trust.signing_keys import public_text, trusted_keys
from asof.use_case import UseCase
from training.release.bundling.bento_build import build, is_built
from training.release.registry.tags import code_tag


@dataclass(frozen=True)
class CodeBundle:
    """The Bento's tag, and whether this call built it."""

    bento_tag: str
    created: bool


def bundle_code(settings: Settings, use_case: UseCase) -> CodeBundle:
    """Builds the Bento where it does not exist yet; does not change an existing `NAME:latest`.

    It trusts the keys of ASOF_TRUSTED_KEYS, which must be set where the Bento runs if it is not set here.
    Raises ConfigurationError where the setting holds no keys.
    """
    keys = public_text(trusted_keys(settings)) if settings.trusted_keys else ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # BentoML's use of pathspec, importlib and pydantic
        tag = code_tag(use_case.model_name, keys)
        if is_built(settings.bentoml_home, tag):
            return CodeBundle(tag, created=False)
        created = build(tag, keep_latest=True, use_case=use_case.name, trusted_keys=keys)
    return CodeBundle(tag, created)
