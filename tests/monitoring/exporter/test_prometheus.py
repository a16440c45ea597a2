"""A real Prometheus reads the real exporter; rules and panels are asked of it. Skipped, aloud, where there is none.

Grafana itself is in no registry of packages: its dashboards are held against what is here, and against Prometheus.
"""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from asof.settings import PROJECT, Settings
from monitoring.exporter.metrics import metrics_of
from monitoring.exporter.reading import Exported
from monitoring.records.figure import Figure, Subject, Verdict
from tests.kits.ledger import monitored
from tests.kits.machine.databases import fresh
from tests.kits.machine.exporter import exporter
from tests.kits.machine.free_port import free_port

DEPLOYED = PROJECT / "deploy"
BOARD: dict[str, Any] = json.loads((DEPLOYED / "grafana" / "dashboards" / "monitoring.json").read_text())
QUERIES = {
    f"{panel['title']}: {target['refId']}": target["expr"].replace("$use_case", "churn")
    for panel in BOARD["panels"]
    for target in panel["targets"]
}
RULES = yaml.safe_load((DEPLOYED / "prometheus" / "rules.yml").read_text())["groups"]
OWN_RULES = {rule["alert"]: rule["expr"] for group in RULES if group["name"] == "monitoring" for rule in group["rules"]}
UNITS = {"short", "s", "percentunit", "dateTimeAsIso"}
"""Of Grafana's ids of units those that the dashboard needs."""


def until(true: Callable[[], Any], what: str, within: float = 90) -> Any:
    """What the function gives as soon as it gives something."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            if found := true():
                return found
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {within:g} s")


@pytest.fixture(scope="module")
def monitored_case(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A use case with figures of every subject, and an open alert of each severity."""
    with fresh(server, tmp_path_factory.mktemp("home")) as settings:
        window = monitored.months(9)[-1]
        run = monitored.plant(settings, "churn", monitored.figures(9, 3))
        audit = [
            Figure(Subject.AUDIT, name, share, 900, window, "2", "", 0.0, 1.0, Verdict.OK)
            for name, share in (("same", 0.99), ("late-data", 0.01))
        ]
        monitored.plant(settings, "churn", audit, kind="audit")
        monitored.plant(
            settings, "churn", [Figure(Subject.SHADOW, "decisions_differ", 0.1, 9, window, "3")], kind="shadow"
        )
        for severity in ("error", "warning"):
            monitored.plant_alert(settings, run, severity=severity)
        yield settings


@pytest.fixture(scope="module")
def prometheus(monitored_case: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Its API, once it has read the exporter; the configuration is ours but for addresses and seconds."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no Prometheus: `apt-get install prometheus`, and rules and panels are asked of a real one")
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port(19090, "Prometheus")
    with exporter(monitored_case) as address:
        shutil.copy(DEPLOYED / "prometheus" / "rules.yml", folder)
        (folder / "prometheus.yml").write_text(_configuration(address))
        words = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        words.append(f"--web.listen-address=127.0.0.1:{port}")
        with (folder / "log").open("w") as log, subprocess.Popen([program, *words], stderr=log, stdout=log) as running:
            try:
                until(lambda: httpx.get(f"http://127.0.0.1:{port}/-/ready").is_success, "Prometheus is ready")
                with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=10) as client:
                    until(lambda: _found(client, "asof_monitor_value"), "Prometheus has read the exporter")
                    yield client
            finally:
                running.terminate()
                running.wait(30)


def _configuration(address: str) -> str:
    told = yaml.safe_load((DEPLOYED / "prometheus" / "prometheus.yml").read_text())
    (job,) = (each for each in told["scrape_configs"] if each["job_name"] == "monitoring")
    job |= {"scrape_interval": "1s", "static_configs": [{"targets": [address.split("/")[2]]}]}
    short = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    return yaml.safe_dump({"global": short, "rule_files": ["rules.yml"], "scrape_configs": [job]})


def _found(client: httpx.Client, query: str) -> list[Any]:
    answer = client.get("/query", params={"query": query})
    assert answer.is_success, (query, answer.text)
    return list(answer.json()["data"]["result"])


@pytest.mark.parametrize("panel", sorted(QUERIES))
def test_each_panel_asks_for_what_is_there(prometheus: httpx.Client, panel: str) -> None:
    assert _found(prometheus, QUERIES[panel])


def test_the_variable_of_the_dashboard_lists_the_use_cases(prometheus: httpx.Client) -> None:
    (variable,) = BOARD["templating"]["list"]
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
    found = prometheus.get(f"/label/{label}/values", params={"match[]": metric}).json()["data"]
    assert (variable["name"], found) == ("use_case", ["churn"])


def test_every_rule_is_evaluated_and_open_alerts_raise_theirs(prometheus: httpx.Client) -> None:
    def raised() -> dict[str, str] | None:
        groups = prometheus.get("/rules").json()["data"]["groups"]
        rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
        assert {rule["health"] for rule in rules.values()} <= {"ok", "unknown"}, rules
        states = {name: rules[name]["state"] for name in OWN_RULES}
        return states if states["ModelNotRight"] == states["ModelToWatch"] == "firing" else None

    states = until(raised, "the alerts are raised")
    assert {name for name, state in states.items() if state == "inactive"} == {
        "NotMonitored",
        "NotAudited",
        "FiguresAway",
    }
    (alert,) = _found(prometheus, 'ALERTS{alertname="ModelNotRight"}')
    assert (alert["metric"]["use_case"], alert["metric"]["rule"]) == ("churn", "performance")


def test_promtool_finds_nothing_wrong() -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool: `apt-get install prometheus`")
    rules = DEPLOYED / "prometheus" / "rules.yml"
    done = subprocess.run([program, "check", "rules", rules], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_panels_name_only_metrics_of_the_exporter() -> None:
    known = {each.name + ("_total" if each.type == "counter" else "") for each in metrics_of(Exported())}
    asked = set(re.findall(r"\basof_\w+", " ".join([*QUERIES.values(), *OWN_RULES.values()])))
    assert asked - known == {"asof_monitor_database_up"}
    assert known - asked == {"asof_monitor_run_answers", "asof_alerts_total"}


def test_every_subject_is_on_the_dashboard() -> None:
    named = set(re.findall(r'subject="([\w-]+)"', " ".join(QUERIES.values())))
    assert {each.value for each in Subject} - named == {"joint-shift", "score-shift", "slice"}
    assert any("by (subject)" in query for query in QUERIES.values())


@pytest.mark.parametrize("name", ["monitoring", "service"])
def test_panels_stand_beside_each_other_and_have_an_id_a_title_and_a_source(name: str) -> None:
    board = json.loads((DEPLOYED / "grafana" / "dashboards" / f"{name}.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        across, down = (range(place[at], place[at] + place[size]) for at, size in (("x", "w"), ("y", "h")))
        cells = {(x, y) for x in across for y in down}
        assert across.stop <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"]
        assert panel["description"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"prometheus"}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_units_are_grafanas() -> None:
    assert {panel["fieldConfig"]["defaults"]["unit"] for panel in BOARD["panels"]} <= UNITS


def test_the_dashboards_have_names_of_their_own() -> None:
    boards = [json.loads(each.read_text()) for each in (DEPLOYED / "grafana" / "dashboards").glob("*.json")]
    assert len({each["uid"] for each in boards}) == len({each["title"] for each in boards}) == len(boards) == 2


def test_the_exporter_listens_where_prometheus_asks() -> None:
    compose = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    jobs = yaml.safe_load((Path(DEPLOYED) / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (job,) = (each for each in jobs if each["job_name"] == "monitoring")
    assert job["static_configs"] == [{"targets": ["exporter:9109"]}]
    assert compose["exporter"]["command"] == ["python", "-m", "monitoring.exporter", "--host", "0.0.0.0"]
    assert set(compose["exporter"]["networks"]) & set(compose["prometheus"]["networks"]) == {"metrics"}
