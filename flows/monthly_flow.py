"""The month's work in one run: ingest, retrain, bundle."""

from datetime import date
from typing import Any

from prefect import flow
from prefect.deployments import run_deployment

from asof.errors import AsOfError
from flows.runtime.door import default_use_case


@flow(name="monthly", description="Ingest what has arrived, train on the newest labels, promote if better, bundle.")
def monthly(folder: str, first_as_of: date | None = None, use_case: str | None = None) -> dict[str, str]:
    """Everything from new extracts to a Bento; what is already loaded or built is not done again.

    Each stage is a run of its own deployment, so that its worker does it, as the database role that may; the run that
    fails names itself, and none comes after it.
    """
    use_case = use_case or default_use_case()
    first = str(first_as_of) if first_as_of else None
    return {
        "ingest": _stage("ingest", folder=folder, first_as_of=first, use_case=use_case),
        "retrain": _stage("retrain", use_case=use_case),
        "bundle": _stage("bundle", use_case=use_case),
    }


def _stage(name: str, **parameters: Any) -> str:
    """The name of the stage's run, when it is completed. Raises AsOfError where it is not."""
    run: Any = run_deployment(f"{name}/{name}", parameters=parameters)
    if run.state is None or not run.state.is_completed():
        told = run.state.message if run.state else "no state"
        raise AsOfError(f"Stage {name} did not complete, see its run {run.name} in Prefect: {told}.")
    return str(run.name)
