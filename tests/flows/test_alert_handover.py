"""What `flows monitor` asks of a Prefect server for an alert: an event at first, then a run, until it was handled."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from asof.settings import Settings
from asof.use_cases import load
from flows.stages.monitoring.alerts import pass_on
from monitoring.alerts.alert import Alert, Event, Severity

CHURN = load("churn")


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The events that would be written beside the alert."""
    events: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(
        "flows.stages.monitoring.alerts.noted", lambda _, alert, event, detail: events.append((event, detail))
    )
    return events


@pytest.fixture
def api(prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        yield prefect_api


def an_alert() -> Alert:
    now, detail = datetime.now(UTC), {"retrains": True, "next": "", "figures": []}
    names = ("performance", "1", now, Severity.ERROR, "AUC is 0.49.", detail)
    return Alert(*names, alert=uuid4(), use_case="churn", opened_at=now, opened_by=uuid4())


def deployed(api: str) -> None:
    """The deployment `retrain`, without a worker."""
    flow = httpx.post(f"{api}/flows/", json={"name": "retrain"}).raise_for_status().json()["id"]
    schema = {"type": "object", "properties": {}}
    body = {"name": "retrain", "flow_id": flow, "entrypoint": "x:y", "parameter_openapi_schema": schema}
    httpx.post(f"{api}/deployments/", json=body).raise_for_status()


def test_without_a_server_the_command_is_named(
    server: Settings, noted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    told = pass_on(server, CHURN, an_alert(), is_new=True)
    assert told == "no Prefect server is set: run `python -m flows monitor churn --retrain`"
    assert noted == []


def test_a_new_alert_is_an_event_that_the_server_has(server: Settings, api: str, noted: list[Any]) -> None:
    alert = an_alert()
    assert pass_on(server, CHURN, alert, is_new=True).startswith("Prefect was told")
    assert noted == [(Event.EMITTED, {})]


def test_an_alert_whose_event_was_lost_gets_a_run_of_its_own_once(server: Settings, api: str, noted: list[Any]) -> None:
    alert = an_alert()
    missing = pass_on(server, CHURN, alert, is_new=False)
    assert missing.startswith(
        "the Prefect server has no deployment retrain/retrain: run `python -m flows monitor churn"
    )
    deployed(api)
    first, second = (pass_on(server, CHURN, alert, is_new=False) for _ in range(2))
    assert first == second
    runs = httpx.post(f"{api}/flow_runs/filter", json={}).json()
    (run,) = [each for each in runs if each["parameters"].get("alert") == str(alert.alert)]
    assert run["parameters"]["use_case"] == "churn"
    assert noted == [(Event.STARTED, {"flow_run": run["name"]})] * 2


def test_a_server_that_is_away_is_told_and_nothing_is_lost(
    server: Settings, noted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    away = "http://127.0.0.1:9/api"
    monkeypatch.setenv("PREFECT_API_URL", away)
    with temporary_settings({PREFECT_API_URL: away, PREFECT_CLIENT_MAX_RETRIES: 0}):
        told = pass_on(server, CHURN, an_alert(), is_new=True)
        again = pass_on(server, CHURN, an_alert(), is_new=False)
    assert told.startswith("Prefect did not take the event: ")
    assert again.startswith("the Prefect server did not answer: ")
    assert noted == []
