"""A registered version -> its training set and its model once more, beside what was recorded."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task

from asof.use_cases import load
from flows.runtime.door import open_settings, open_tracked_settings
from flows.runtime.progress import log, publish
from flows.runtime.retries import RETRIES
from training.audit.reproduction.reproduce import Reproduction
from training.audit.reproduction.reproduce import reproduce as build_again
from training.release.registry.versions import model_version


@task(name="reproduce", **RETRIES)
def reproduce_version(use_case: str, version: str) -> Reproduction:
    """The version's rows and model again; nothing is logged or registered."""
    settings, problem = open_settings(), load(use_case)
    found = model_version(settings, problem, version)
    log.info("training set as of %s, as known at %s", found.facts.as_of.date(), found.facts.known_at)
    return build_again(settings, problem, found)


@flow(name="reproduce", description="Whether a registered version comes out the same, and if not, what differs.")
def reproduce(use_case: str, version: str) -> dict[str, Any]:
    """Builds and trains the version again from the database as known then, and compares."""
    open_tracked_settings()
    found = reproduce_version(use_case, version)
    differences = found.rebuilt.differences
    publish("reproduction", map(asdict, found.checks), f"{found.name} version {found.version}: {found.verdict}")
    publish("reproduction-environment", map(asdict, found.environment), "as recorded, and now")
    publish("reproduction-rows", map(asdict, differences.first if differences else ()), "the first differing cells")
    return asdict(found)
