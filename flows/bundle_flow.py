"""Production version, or a run's model -> BentoML store -> Bento."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from asof.use_cases import load
from flows.runtime.door import default_use_case, open_settings
from flows.runtime.retries import RETRIES
from training.release.bundling.bundle import Bundle
from training.release.bundling.bundle import bundle as build_bundle


@task(name="bundle", **RETRIES)
def bundle_model(use_case: str, run_id: str | None) -> Bundle:
    """The version in Production, or the run's model, as a Bento."""
    return build_bundle(open_settings(), load(use_case), run_id=run_id)


@flow(
    name="bundle", description="The version in Production, or the model of a run, as a Bento; nothing is built twice."
)
def bundle(use_case: str | None = None, run_id: str | None = None) -> dict[str, Any]:
    """Imports the model into the BentoML store and builds its Bento."""
    use_case = use_case or default_use_case()
    built = bundle_model(use_case, run_id)
    create_markdown_artifact(key="bundle", markdown=f"`bentoml serve {built.bento_tag}`")
    return asdict(built)
