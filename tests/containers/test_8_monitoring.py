"""Prometheus really scrapes the service; rules and dashboard ask for what is there. Grafana's files are parsed only."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import httpx
import pytest
import yaml

from asof.settings import PROJECT
from monitoring.exporter.metrics import metrics_of
from monitoring.exporter.reading import Exported
from tests.containers.stack_kit import Stack, until

RULES = PROJECT / "deploy" / "prometheus" / "rules.yml"
GRAFANA = PROJECT / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "service.json").read_text())
QUERIES = {
    f"{panel['title']}: {target['refId']}": target["expr"].replace("$__rate_interval", "2m")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
QUIET = {
    "Swaps and refused versions: A",
    "Swaps and refused versions: B",
    "Answers by how the ledger keeps them: B",
}
"""Without data where nothing of the kind has happened."""
EXPRESSIONS = {
    rule["alert"]: rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}
EXPORTER_UP = "asof_monitor_database_up == 1"


@pytest.fixture(scope="module")
def prometheus(stack: Stack, built: dict[str, Future[None]]) -> Iterator[httpx.Client]:
    """Its API, once it has scraped the service twice after requests of every kind, and the exporter."""
    for image in ("FLOWS_IMAGE", "PROMETHEUS_IMAGE"):
        built[image].result()
    stack.compose("--profile", "monitoring", "up", "-d", "--no-deps", "exporter", "prometheus")
    end = time.monotonic() + 40  # a rate needs two scrapes with requests before each
    while time.monotonic() < end:
        _ask_everything(stack)
        time.sleep(1)
    with httpx.Client(base_url=f"{stack.address('PROMETHEUS_PORT')}/api/v1", timeout=30) as client:
        until(lambda: _is_up(client), "Prometheus scrapes the service")
        until(
            lambda: _found(client, EXPORTER_UP), "Prometheus has read the exporter", within=120
        )  # it does so each minute
        yield client


def _ask_everything(stack: Stack) -> None:
    key = {"Authorization": f"Bearer {stack.secrets['API_KEY']}"}
    with httpx.Client(base_url=stack.address("PREDICTION_PORT"), timeout=30) as client:
        client.post("/predict", json={"user_id": stack.users[0]}, headers=key).raise_for_status()
        client.post("/predict", json={"user_id": "0000-NOBODY"}, headers=key)
        instances = [{"user_id": user} for user in stack.users]
        client.post("/predict/batch", json={"instances": instances}, headers=key).raise_for_status()
        client.post("/predict", json={})


def _is_up(client: httpx.Client) -> bool:
    targets = client.get("/targets").raise_for_status().json()["data"]["activeTargets"]
    return any(each["labels"]["job"] == "prediction" and each["health"] == "up" for each in targets)


def _found(client: httpx.Client, query: str) -> list[Any]:
    result = client.get("/query", params={"query": query}).json()
    assert result["status"] == "success", (query, result)
    return list(result["data"]["result"])


def test_promtool_finds_nothing_wrong(stack: Stack, prometheus: httpx.Client) -> None:
    for words in (("config", "prometheus.yml"), ("rules", "rules.yml")):
        done = stack.inside("prometheus", "promtool", "check", words[0], f"/etc/prometheus/{words[1]}")
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_loaded_and_evaluated(prometheus: httpx.Client) -> None:
    def healths() -> dict[str, str] | None:
        groups = prometheus.get("/rules").json()["data"]["groups"]
        found = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
        return found if "unknown" not in found.values() else None

    assert until(healths, "rules are evaluated") == dict.fromkeys(EXPRESSIONS, "ok")


@pytest.mark.parametrize("panel", sorted(QUERIES))
def test_each_panel_asks_for_what_is_there(prometheus: httpx.Client, panel: str) -> None:
    assert _found(prometheus, QUERIES[panel]) or panel in QUIET


def test_rules_and_panels_name_only_metrics_that_the_service_and_the_exporter_have(prometheus: httpx.Client) -> None:
    there = set(prometheus.get("/label/__name__/values").json()["data"])
    ours = re.findall(r'"(asof_\w+)"', (PROJECT / "asof" / "serving" / "logs" / "metrics.py").read_text())
    exported = {f"{each.name}{'_total' if each.type == 'counter' else ''}" for each in metrics_of(Exported())}
    known = there | exported | {f"{name}{end}" for name in ours for end in ("", "_total", "_bucket", "_sum", "_count")}
    asked = set(re.findall(r"\b(?:asof|bentoml)_\w+", " ".join([*QUERIES.values(), *EXPRESSIONS.values()])))
    assert asked - known == set()


def test_the_exporter_reads_the_tables_of_monitoring_as_its_own_role(stack: Stack, prometheus: httpx.Client) -> None:
    assert _found(prometheus, EXPORTER_UP)
    assert "asof_monitoring:" in " ".join(stack.inspect("exporter")["Config"]["Env"])
    assert not any(stack.inspect("exporter")["NetworkSettings"]["Ports"].values())


def test_a_service_that_is_away_raises_an_alarm(stack: Stack, prometheus: httpx.Client) -> None:
    stack.compose("stop", "prediction")
    try:
        alarm = 'ALERTS{alertname="PredictionServiceAway"}'
        until(lambda: _found(prometheus, alarm), "the alarm is pending", within=120)
    finally:
        stack.compose("start", "prediction")
        stack.wait_until_ready()


def test_grafana_finds_its_data_source_and_its_dashboard_where_compose_puts_them() -> None:
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "asof.yml").read_text())["providers"][0]
    grafana = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]["grafana"]

    used = {target["datasource"]["uid"] for panel in DASHBOARD["panels"] for target in panel["targets"]}
    assert used == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    mounted = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    assert mounted["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    assert mounted["./deploy/grafana/dashboards"] == provider["options"]["path"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/service.json"


def test_panels_stand_beside_each_other(prometheus: httpx.Client) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
