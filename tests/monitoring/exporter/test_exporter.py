"""What the exporter tells Prometheus: the newest windows, runs and alerts; and what it says where it cannot."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from pydantic import SecretStr

from asof.settings import PROJECT, Settings
from monitoring.exporter.reading import Exported, read
from monitoring.records.figure import Figure, Subject, Verdict
from tests.kits.ledger import monitored
from tests.kits.machine.databases import fresh
from tests.kits.machine.exporter import exporter


def scraped(address: str) -> dict[str, list[Sample]]:
    text = httpx.get(address, timeout=30).raise_for_status().text
    return {each.name: each.samples for each in text_string_to_metric_families(text)}


def value(samples: list[Sample], **labels: str) -> float:
    (found,) = (each.value for each in samples if labels.items() <= each.labels.items())
    return found


@pytest.fixture
def own(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with fresh(server, tmp_path_factory.mktemp("home")) as settings:
        yield settings


def test_the_newest_window_of_each_subject_is_told_with_its_interval_and_rows(own: Settings) -> None:
    monitored.plant(own, "churn", monitored.figures(9, 3))
    run = monitored.plant(own, "wine", [Figure(Subject.VOLUME, "answers", 5, 5, monitored.FIRST, "3")])
    monitored.plant_alert(own, run, severity="warning", rule="drift")
    monitored.plant_alert(own, run, events=[("closed", {"reason": "x"})])
    with exporter(own) as address:
        found = scraped(address)

    auc = {"use_case": "churn", "subject": "performance", "metric": "auc", "about": ""}
    assert {each.labels["version"] for each in found["asof_monitor_value"] if auc.items() <= each.labels.items()} == {
        "1"
    }
    figure = [each for each in monitored.figures(9, 3) if each.metric == "auc" and each.subject is Subject.PERFORMANCE][
        -1
    ]
    numbers = [value(found[f"asof_monitor_{name}"], **auc) for name in ("value", "low", "high", "rows")]
    assert numbers == [figure.value, figure.low, figure.high, figure.n]
    assert value(found["asof_monitor_verdict"], **auc) == 2
    assert value(found["asof_monitor_promotion"], use_case="churn", metric="auc", bound="low") == monitored.PROMOTION[1]
    assert value(found["asof_monitor_window_timestamp_seconds"], use_case="churn", subject="performance") == (
        monitored.months(8)[-1].timestamp()
    )
    assert value(found["asof_monitor_run_answers"], use_case="wine", kind="monitor") == monitored.USERS
    assert value(found["asof_alerts_open"], use_case="wine", severity="warning", rule="drift") == 1
    assert value(found["asof_alerts_open"], use_case="wine", severity="error") == 0
    assert value(found["asof_alerts"], use_case="wine", severity="error") == 1
    assert value(found["asof_monitor_database_up"]) == 1


def test_a_figure_without_a_value_is_told_by_its_verdict_alone(own: Settings) -> None:
    few = Figure(Subject.PERFORMANCE, "auc", None, 3, monitored.FIRST, "1", verdict=Verdict.TOO_FEW)
    strange = Figure(Subject.DRIFT, "psi", float("inf"), 9, monitored.FIRST, "1", 'a"b\n\\c', detail={"promotion": [1]})
    monitored.plant(own, "churn", [few, strange])
    with exporter(own) as address:
        found = scraped(address)
    assert value(found["asof_monitor_verdict"], metric="auc") == -1
    assert [each for each in found["asof_monitor_value"] if each.labels["metric"] == "auc"] == []
    assert value(found["asof_monitor_value"], about='a"b\n\\c') == float("inf")
    assert found["asof_monitor_promotion"] == []


def test_before_the_first_run_there_are_no_figures(own: Settings) -> None:
    with exporter(own) as address:
        found = scraped(address)
    assert value(found["asof_monitor_database_up"]) == 1
    assert found["asof_monitor_value"] == []


def test_figures_are_read_again_only_after_a_newer_run_and_alerts_at_once(own: Settings) -> None:
    run = monitored.plant(own, "churn", monitored.figures(2, 1))
    with psycopg.connect(own.conninfo()) as connection:
        first = read(connection, Exported())
    monitored.plant_alert(own, run)
    with psycopg.connect(own.conninfo()) as connection:
        second = read(connection, first)
    monitored.plant(own, "churn", monitored.figures(3, 1))
    with psycopg.connect(own.conninfo()) as connection:
        third = read(connection, second)
    assert second.figures is first.figures
    assert [each.still_open for each in second.alerts] == [1]
    assert max(each.as_of for each in third.figures) > max(each.as_of for each in first.figures)


def test_a_database_that_is_away_is_told_and_the_process_goes_on(own: Settings) -> None:
    away = own.database("no_such_database").render_as_string(hide_password=False)
    with exporter(own.model_copy(update={"postgres_url": SecretStr(away)})) as address:
        for _ in range(2):
            assert set(scraped(address)) == {"asof_monitor_database_up"}
            assert value(scraped(address)["asof_monitor_database_up"]) == 0


def test_the_newest_figures_name_no_entity_and_no_request(own: Settings) -> None:
    monitored.plant(own, "churn", monitored.figures(2, 1))
    with exporter(own) as address:
        text = httpx.get(address, timeout=30).text
    labels = set(re.findall(r'[{,](\w+)="', text))
    assert labels <= {"use_case", "version", "subject", "metric", "about", "bound", "kind", "severity", "rule"}


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--host", "192.0.2.1"), "Cannot listen on 192.0.2.1:0"), (("--port", "x"), "invalid int value")],
)
def test_what_it_cannot_do_is_said_in_a_line(own: Settings, words: tuple[str, str], said: str) -> None:
    command = [sys.executable, "-m", "monitoring.exporter", "--port", "0", *words]
    done = subprocess.run(command, cwd=PROJECT, env={**os.environ, **own.environment()}, capture_output=True, text=True)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_is_told_by_the_time_when_it_finished(own: Settings) -> None:
    before = datetime.now(UTC).timestamp()
    monitored.plant(own, "churn", [], kind="audit")
    with exporter(own) as address:
        finished = value(scraped(address)["asof_monitor_run_timestamp_seconds"], use_case="churn", kind="audit")
    assert before - 5 < finished < datetime.now(UTC).timestamp() + 5
