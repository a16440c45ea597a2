"""Retraining because of an alert: by whoever claims it first, with what came of it recorded."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from asof.errors import AsOfError
from asof.settings import Settings
from asof.use_case import UseCase
from asof.use_cases import load
from flows.runtime.environment import settings_with_tracking
from flows.runtime.prefect_events import PrefectAway, emit, has_server, start_run
from flows.runtime.progress import log
from monitoring.alerts.alert import Alert, Event
from monitoring.alerts.handling import Claim, claimed, noted

RETRAIN = "retrain/retrain"
"""The deployment in prefect.yaml."""


def handle_alert(use_case: str, alert: UUID, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Does the work of retraining if the alert can be claimed; the result says `handled`, and why it was not.

    A version that was promoted closes the alerts of the one before. Raises what the work raises, once it is recorded.
    """
    settings = settings_with_tracking()
    with claimed(settings, load(use_case), alert) as claim:
        if claim.taken:
            return {"handled": False, "alert": str(alert), "reason": claim.taken}
        log.info("retraining because of %s", claim.alert.title)
        with _failure_recorded(claim):
            result = work()
        claim.record(Event.HANDLED, outcome_of(result))
        if result["promotion"] and result["promotion"]["promoted"]:
            claim.close_superseded(result["version"]["version"])
    return {"handled": True, "alert": str(alert), **result}


def outcome_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """What came of a retraining, for the event of the alert; `reasons` are those of the gate against the version."""
    version, promotion = result["version"], result["promotion"] or {"promoted": False, "criteria": ()}
    return {
        "version": version["version"],
        "as_of": version["facts"]["as_of"].isoformat(),
        "promoted": promotion["promoted"],
        "reasons": [each["reason"] for each in promotion["criteria"] if not each["passed"]],
    }


def pass_on(settings: Settings, use_case: UseCase, alert: Alert, *, is_new: bool) -> str:
    """Has an alert retrained by a Prefect server: by an event for a new one, else by a run; says what was done."""
    command = f"run `python -m flows monitor {use_case.name} --retrain`"
    if not has_server():
        return f"no Prefect server is set: {command}"
    if is_new:
        lost = announce(settings, alert, retrain=True)
        return f"{lost}; the next run asks for it" if lost else "Prefect was told: its deployment `retrain` takes care"
    attempts = alert.number_of(Event.CLAIMED)
    parameters = {"use_case": use_case.name, "alert": str(alert.alert)}
    try:
        run = start_run(RETRAIN, parameters, key=f"{alert.alert} {attempts}")
    except PrefectAway as error:
        return f"{error}; the next run asks again"
    if run is None:
        return f"the Prefect server has no deployment {RETRAIN}: {command}, or `prefect deploy --all`"
    noted(settings, alert, Event.STARTED, {"flow_run": run})
    return f"run {run} of the deployment `retrain` takes care of it"


def announce(settings: Settings, alert: Alert, *, retrain: bool) -> str:
    """Sends the event of a new alert where a Prefect server is set; why it was lost, else empty.

    `retrain`: the trigger in prefect.yaml shall start the retraining; other automations may take every event.
    """
    if not has_server():
        return ""
    labels = {"alert": alert.alert, "use_case": alert.use_case, "rule": alert.rule, "version": alert.version}
    labels |= {"severity": alert.severity, "retrain": str(retrain).lower()}
    resource = {"prefect.resource.id": f"asof.alert.{alert.alert}", "prefect.resource.name": alert.title}
    lost = emit(resource | {f"asof.{name}": str(each) for name, each in labels.items()}, dict(alert.detail))
    if not lost:
        noted(settings, alert, Event.EMITTED, {})
    return lost


@contextmanager
def _failure_recorded(claim: Claim) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        text = str(error) if isinstance(error, AsOfError) else f"{type(error).__name__}: {error}"
        claim.record(Event.FAILED, {"error": text})
        raise
