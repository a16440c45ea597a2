"""Tells a Prefect server of an alert, and asks it for a run of a deployment.

An event that Prefect loses does no harm (prefect#18049, #11199): the next `flows monitor` asks for the run itself.
"""

import os
from collections.abc import Mapping
from typing import Any

from asof.errors import AsOfError

ALERT = "asof.alert"
"""The name of the event, which the trigger in prefect.yaml expects."""


class PrefectAway(AsOfError):
    """The Prefect server that is set did not answer."""


def has_server() -> bool:
    """Whether a Prefect server is set."""
    return bool(os.environ.get("PREFECT_API_URL"))


def emit(resource: Mapping[str, str], payload: Mapping[str, Any]) -> str:
    """Sends the event and waits until the server has it; why it has not, or empty.

    `prefect.events.emit_event` would queue it in a thread, and say nothing of one that is lost.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.events import Event
    from prefect.types._datetime import now

    event = Event(occurred=now("UTC"), event=ALERT, resource=dict(resource), payload=dict(payload))
    try:
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[event.model_dump(mode="json")])
    except httpx.HTTPError as error:
        return f"Prefect did not take the event: {error}"
    return ""


def start_run(deployment: str, parameters: Mapping[str, Any], *, key: str) -> str | None:
    """Asks for a run of `FLOW/DEPLOYMENT`, once for each key; returns the run's name without waiting for it.

    None where the server has no such deployment. Raises PrefectAway where it does not answer.
    """
    import httpx
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound

    options: dict[str, Any] = {"timeout": 0, "idempotency_key": key, "as_subflow": False}
    try:
        run: Any = run_deployment(deployment, parameters=dict(parameters), **options)
    except ObjectNotFound:
        return None
    except httpx.HTTPError as error:
        raise PrefectAway(f"the Prefect server did not answer: {error}") from None
    return str(run.name)
