"""The stage `bundle`: builds the Bento of the version in Production or of a run's model."""

from dataclasses import asdict
from typing import Any

from asof.use_cases import default_name, load
from flows.lineage.datasets import of_bundle
from flows.lineage.emitting import emits_lineage
from flows.runtime.artifacts import publish_text
from flows.runtime.environment import settings_with_database
from flows.runtime.progress import log
from flows.runtime.steps import step
from training.release.bundling.bundle import Bundle
from training.release.bundling.bundle import bundle as build_bundle


@step("bundle")
def bundle_model(use_case: str, run_id: str | None) -> Bundle:
    """Builds the Bento of the version in Production or of the run's model."""
    log.info("the Bento of %s", use_case)
    return build_bundle(settings_with_database(), load(use_case), run_id=run_id)


@emits_lineage("bundle", of_bundle)
def bundle(use_case: str | None = None, run_id: str | None = None) -> dict[str, Any]:
    """Imports the model into the BentoML store and builds its Bento."""
    use_case = use_case or default_name()
    built = bundle_model(use_case, run_id)
    publish_text("bundle", f"`bentoml serve {built.bento_tag}`", f"Bento of {built.model_tag}")
    return asdict(built)
