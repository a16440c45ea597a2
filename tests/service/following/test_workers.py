"""A following service as a whole: how it starts, and its workers, which agree on one version."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from asof.settings import Settings
from tests.kits.service import following as follow
from tests.kits.service import serving as kit
from tests.kits.service.following import MlflowServer, Variant

if TYPE_CHECKING:
    from tests.kits.service.small_model import SmallModel

FOLLOWING = {"ASOF_FOLLOW": "production", "ASOF_FOLLOW_SECONDS": "0.5", "ASOF_CLOCK": kit.NOW.isoformat()}
AGREE = 12
"""Consecutive answers over separate connections: the chance that one of two workers gives them all is 1 in 4096."""


@pytest.fixture(scope="module", autouse=True)
def _users(settings: Settings, small_model: "SmallModel") -> None:
    kit.write_users(settings, {"good": kit.USER, "no-internet": {**kit.USER, **kit.WITHOUT_INTERNET}}, kit.NOW)


@pytest.fixture(scope="module")
def mlflow(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with follow.mlflow_server(settings, tmp_path_factory.mktemp("mlflow")) as server:
        yield server


def _is_ready(client: httpx.Client) -> bool:
    return client.get("/readyz").status_code == 200


def _folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("asof-following-*"))


def test_without_a_registry_the_service_starts_with_its_own_model_and_logs_it(
    settings: Settings, small_model: "SmallModel", tmp_path: Path
) -> None:
    """Until then it is not ready and predicts nothing. Its folder is removed at its end."""
    with follow.faulty("http://127.0.0.1:9") as faults:
        faults.fault = lambda path: faults.hang(path) or (500, b"")
        variables = FOLLOWING | {"ASOF_REGISTRY_URL": faults.address}
        before = _folders()
        with kit.serving(settings, small_model.bundle.bento_tag, tmp_path, **variables) as client:
            (folder,) = _folders() - before
            assert folder.stat().st_mode & 0o777 == 0o700
            answer = follow.predict(client)
            assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")
            assert answer.headers["retry-after"] == "1"
            assert client.get("/readyz").status_code == 503
            assert client.get("/health").status_code == 503
            faults.release()
            faults.fault = lambda path: (500, b"")
            kit.eventually(lambda: _is_ready(client), 60, tmp_path / "log")
            assert follow.served(client) == small_model.bundle.version
            assert "answered 500" in follow.following(client)["registry"]
            assert f"Version {small_model.bundle.version} keeps serving" in (tmp_path / "log").read_text()
        assert _folders() == before


def test_two_workers_agree_through_promotion_rollback_refusal_and_the_death_of_one(
    settings: Settings, small_model: "SmallModel", mlflow: MlflowServer, tmp_path: Path
) -> None:
    contract, log = small_model.contract, tmp_path / "log"
    first, second = (follow.publish(settings, contract, Variant(seed)) for seed in (21, 22))
    unsigned = follow.publish(settings, contract, Variant(seed=23, sealed=False))
    breaking = follow.publish(settings, contract, Variant(seed=24, unknown="error"))
    follow.promote(settings, first)
    with follow.faulty(mlflow.address) as faults:
        variables = FOLLOWING | {"ASOF_REGISTRY_URL": faults.address, "ASOF_WORKERS": "2"}
        with kit.serving(settings, small_model.bundle.bento_tag, tmp_path, **variables) as client:
            kit.eventually(lambda: _is_ready(client), 60, log)
            follow.wait_for(client, first.version, log, in_a_row=AGREE)
            kit.eventually(lambda: _serving(client, first.version) == 2, 30, log)

            faults.asked.clear()
            with follow.load_on(client) as load:
                follow.promote(settings, second)
                follow.wait_for(client, second.version, log, in_a_row=AGREE)
            assert load.failed == []
            assert sum("artifacts" in path and "manifest" in path for path in faults.asked) == 1, "one worker fetches"

            follow.promote(settings, unsigned)
            kit.eventually(lambda: f"Version {unsigned.version} is refused" in log.read_text(), 30, log)
            follow.promote(settings, breaking)
            kit.eventually(lambda: _serving(client, breaking.version) == 2, 30, log)
            # One connection, so one worker: the other one never fails, and goes back all the same.
            with follow.load_on(client, clients=1, user="no-internet") as load:
                kit.eventually(lambda: _serving(client, second.version) == 2, 30, log)
            assert (load.failed, load.versions) == ([], {second.version})
            follow.wait_for(client, second.version, log, in_a_row=AGREE)
            for refused in (unsigned, breaking):
                assert log.read_text().count(f"Version {refused.version} is refused") == 1, "one worker for all"

            follow.promote(settings, first)
            follow.wait_for(client, first.version, log, in_a_row=AGREE)

            faults.fault = lambda path: (500, b"")
            killed = follow.workers(log)[0]
            os.kill(killed, signal.SIGKILL)
            kit.eventually(lambda: len({*follow.workers(log)} - {killed}) == 2, 60, log)
            kit.eventually(lambda: _serving(client, first.version) == 2, 60, log)
            follow.wait_for(client, first.version, log, in_a_row=AGREE, seconds=60)


def _serving(client: httpx.Client, version: str) -> float:
    return follow.metric(client, f'asof_serving_workers{{version="{version}"}}')
