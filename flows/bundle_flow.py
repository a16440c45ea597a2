"""Production version -> BentoML store -> Bento."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from asof.use_cases import load
from flows.door import open_settings
from flows.retries import RETRIES
from training.bundle import Bundle
from training.bundle import bundle as build_bundle


@task(name="bundle", **RETRIES)
def bundle_production(use_case: str) -> Bundle:
    """The version in Production as a Bento."""
    return build_bundle(open_settings(), load(use_case))


@flow(name="bundle", description="The version in Production as a Bento; nothing is built twice.")
def bundle(use_case: str = "churn") -> dict[str, Any]:
    """Imports the Production version into the BentoML store and builds its Bento."""
    built = bundle_production(use_case)
    create_markdown_artifact(key="bundle", markdown=f"`bentoml serve {built.bento_tag}`")
    return asdict(built)
