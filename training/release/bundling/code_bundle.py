"""A use case -> a Bento of code alone, which serves what is in Production; it takes neither MLflow nor PostgreSQL."""

import warnings
from dataclasses import dataclass

from asof.settings import Settings
from asof.trust.signing_keys import public_text, trusted_keys
from asof.use_case import UseCase
from training.release.bundling.bento_build import build, latest, make_latest
from training.release.registry.tags import code_tag


@dataclass(frozen=True)
class CodeBundle:
    """The Bento's tag, and whether it was built just now."""

    bento_tag: str
    created: bool


def bundle_code(settings: Settings, use_case: UseCase) -> CodeBundle:
    """Builds the Bento where it does not exist yet; `NAME:latest` stays as it was, where there is one.

    The keys that it trusts are those of ASOF_TRUSTED_KEYS, if that is set; else it must be set where the Bento runs.
    Raises ConfigurationError where that holds no keys.
    """
    keys = public_text(trusted_keys(settings)) if settings.trusted_keys else ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # BentoML's use of pathspec, importlib and pydantic
        import bentoml

        tag, before = code_tag(use_case.model_name, keys), latest(use_case.model_name)
        created = build(tag, use_case=use_case.name, trusted_keys=keys)
        make_latest(before or bentoml.bentos.get(tag))
    return CodeBundle(tag, created)
