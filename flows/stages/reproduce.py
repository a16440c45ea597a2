"""The stage `reproduce`: rebuilds a version's training set and model, and compares them with the record."""

from dataclasses import asdict
from typing import Any

from asof.extracts.cadence import moment_text
from asof.use_cases import load
from flows.runtime.artifacts import publish_table
from flows.runtime.environment import settings_with_database, settings_with_tracking
from flows.runtime.progress import log
from flows.runtime.steps import step
from training.audit.reproduction.reproduce import Reproduction
from training.audit.reproduction.reproduce import reproduce as build_again
from training.release.registry.versions import model_version


@step("reproduce")
def reproduce_version(use_case: str, version: str) -> Reproduction:
    """Rebuilds the training set and the model; nothing is logged or registered."""
    settings, problem = settings_with_database(), load(use_case)
    recorded = model_version(settings, problem, version)
    log.info("training set as of %s, as known at %s", moment_text(recorded.facts.as_of), recorded.facts.known_at)
    return build_again(settings, problem, recorded)


def reproduce(use_case: str, version: str) -> dict[str, Any]:
    """Rebuilds the version from the database as known then, and compares."""
    settings_with_tracking()
    result = reproduce_version(use_case, version)
    differences = result.rebuilt.differences
    publish_table(
        "reproduction", map(asdict, result.checks), f"{result.name} version {result.version}: {result.verdict}"
    )
    publish_table("reproduction-environment", map(asdict, result.environment), "Recorded and current environment")
    publish_table("reproduction-rows", map(asdict, differences.first if differences else ()), "First differing cells")
    return asdict(result)
