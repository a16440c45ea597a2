"""The stages as Prefect flows, which `prefect.yaml` deploys, and `monthly`, which runs three of them."""

from datetime import date
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.deployments import run_deployment
from prefect.states import Completed, Failed

from asof.errors import AsOfError
from asof.settings import Moment
from asof.use_cases import default_name
from flows.stages.bundle import bundle as bundle_stage
from flows.stages.ingest import ingest as ingest_stage
from flows.stages.inspect import inspect as inspect_stage
from flows.stages.monitoring.audit import SAMPLE
from flows.stages.monitoring.audit import audit as audit_stage
from flows.stages.monitoring.monitor import monitor as monitor_stage
from flows.stages.parity import parity as parity_stage
from flows.stages.promote import promote as promote_stage
from flows.stages.reproduce import reproduce as reproduce_stage
from flows.stages.retrain import retrain as retrain_stage
from flows.stages.score import score as score_stage

ingest = flow(name="ingest", description="Loads extracts into dated snapshots and materialises the online store.")(
    ingest_stage
)
inspect = flow(name="inspect", description="Checks the data of one moment of the snapshots against the previous one.")(
    inspect_stage
)
retrain = flow(
    name="retrain", description="Trains a new version from the snapshots and promotes it if it passes the gate."
)(retrain_stage)
monitor = flow(name="monitor", description="Computes how the model in Production does, and opens and closes alerts.")(
    monitor_stage
)
promote = flow(name="promote", description="Promotes a registered version if it passes the gate.")(promote_stage)
score = flow(name="score", description="Scores every user with one version; continues an interrupted run.")(score_stage)
bundle = flow(
    name="bundle", description="Builds the Bento of the version in Production or of a run, unless it exists."
)(bundle_stage)
reproduce = flow(name="reproduce", description="Rebuilds a registered version and reports what differs.")(
    reproduce_stage
)


@flow(name="parity", description="Compares the online store with the snapshots, feature by feature.")
def parity(use_case: str | None = None, as_of: Moment | None = None, sample: int | None = None) -> State[Any]:
    """Compares all users or a sample; the run fails if anything differs."""
    result = parity_stage(use_case, as_of, sample)
    outcome = Completed if result["agrees"] else Failed
    return outcome(message=result["summary"], data=result)


@flow(name="audit", description="Compares served values with the snapshots, as known then and as known now.")
def audit(
    use_case: str | None = None,
    sample: str = SAMPLE,
    since: Moment | None = None,
    until: Moment | None = None,
    as_of: Moment | None = None,
) -> State[Any]:
    """Audits a share of the entities; the run fails if a value has an error."""
    result = audit_stage(use_case, sample, since, until, as_of)
    outcome = Failed if result["errors"] else Completed
    return outcome(message=result["summary"], data=result)


@flow(name="monthly", description="Ingests new extracts, retrains, promotes if the gate passes, and bundles.")
def monthly(folder: str, first_as_of: date | None = None, use_case: str | None = None) -> dict[str, str]:
    """Runs the stages in order; returns the name of each stage's run.

    Each stage runs as its own deployment, because workers have different database roles. Raises AsOfError at the first
    stage that fails.
    """
    use_case = use_case or default_name(from_store=True)
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
