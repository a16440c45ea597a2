"""The `monthly` flow: ingest, retrain and bundle in one run."""

from datetime import date
from typing import Any

from prefect import flow
from prefect.deployments import run_deployment

from asof.errors import AsOfError
from flows.runtime.environment import default_use_case


@flow(name="monthly", description="Ingests new extracts, retrains, promotes if the gate passes, and bundles.")
def monthly(folder: str, first_as_of: date | None = None, use_case: str | None = None) -> dict[str, str]:
    """Runs the stages in order; returns the name of each stage's run.

    Each stage runs as its own deployment, because workers have different database roles. Raises AsOfError at the first
    stage that fails.
    """
    use_case = use_case or default_use_case()
    first = str(first_as_of) if first_as_of else None
    return {
        "ingest": _stage("ingest", folder=folder, first_as_of=first, use_case=use_case),
        "retrain": _stage("retrain", use_case=use_case),
        "bundle": _stage("bundle", use_case=use_case),
    }


def _stage(name: str, **parameters: Any) -> str:
    """The name of the completed run. Raises AsOfError if it did not complete."""
    run: Any = run_deployment(f"{name}/{name}", parameters=parameters)
    if run.state is None or not run.state.is_completed():
        reason = run.state.message if run.state else "no state"
        raise AsOfError(f"Stage {name} did not complete ({reason}). See its run {run.name} in Prefect.")
    return str(run.name)
