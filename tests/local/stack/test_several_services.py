"""Prediction services side by side: each use case keeps its port, and ASOF_PORT is that of the first."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from asof.settings import Settings
from local.stack.background import Running, record_file
from local.stack.predictions import forget_others, prediction_names, with_own_home, with_own_port
from local.stack.services import Service, prediction_name, prediction_service
from local.stack.stack import run_folder


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with Bentos, and a port from which nothing listens."""
    monkeypatch.delenv("BENTOML_HOME", raising=False)
    own = Settings(home=tmp_path, port=23_000, postgres_url="postgresql://u:p@h/d", mlflow_tracking_uri="http://h:5000")
    for name in ("a", "b", "c"):
        (own.bentoml_home / "bentos" / name / "1").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    return own


def started(settings: Settings, use_case: str) -> Service:
    """As `make up` starts it; its record is left."""
    folder = run_folder(settings)
    service = with_own_port(prediction_service(settings, f"{use_case}:1", use_case), folder)
    record = Running(0, "127.0.0.1", service.port, "m", service.purpose)
    record_file(service.name, folder).write_text(json.dumps(asdict(record)))
    return service


def test_each_has_a_port_of_its_own_and_keeps_it(own: Settings) -> None:
    first = {name: started(own, name).port for name in "bca"}
    assert first == {"b": 23_000, "c": 23_001, "a": 23_002}
    assert {name: started(own, name).port for name in "abc"} == first


def test_one_that_was_started_alone_leaves_the_others_their_ports(own: Settings) -> None:
    for name in "ab":
        started(own, name)
    assert started(own, "c").port == 23_002
    assert started(own, "b").port == 23_001


def test_another_asof_port_moves_the_first(own: Settings) -> None:
    for name in "ba":
        started(own, name)
    moved = own.model_copy(update={"port": 24_000})
    assert {name: started(moved, name).port for name in "ab"} == {"b": 24_000, "a": 23_001}


def test_one_that_is_not_served_any_more_is_forgotten_and_gives_its_port_away(own: Settings) -> None:
    """As churn, which the first `make up` starts without a model."""
    assert started(own, "b").port == 23_000
    forget_others(run_folder(own), [prediction_name("a")])
    assert (started(own, "a").port, started(own, "b").port) == (23_000, 23_001)


def test_every_service_is_known_and_has_its_own_metrics(own: Settings) -> None:
    folder = run_folder(own)
    services = [with_own_home(started(own, name), folder, own.bentoml_home) for name in "ab"]
    assert len({each.environment["BENTOML_HOME"] for each in services}) == 2
    assert prediction_names(folder) == [prediction_name("a"), prediction_name("b")]
