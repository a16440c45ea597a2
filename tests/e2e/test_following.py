"""A running service follows what is in Production: it takes what is good, refuses what is not, and drops no request."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from asof.feature_contract import Feature, FeatureContract
from asof.settings import Settings
from tests import follow_kit as follow
from tests import serving_kit as kit
from tests.follow_kit import Faults, MlflowServer, Variant
from training.register import ModelVersion

if TYPE_CHECKING:
    from tests.e2e.conftest import SmallModel

FOLLOWING = {"ASOF_FOLLOW": "production", "ASOF_FOLLOW_SECONDS": "0.2", "ASOF_CLOCK": kit.NOW.isoformat()}


@pytest.fixture(scope="module")
def mlflow(
    settings: Settings, small_model: "SmallModel", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    kit.write_users(settings, {"good": kit.USER, "no-internet": {**kit.USER, **kit.WITHOUT_INTERNET}}, kit.NOW)
    with follow.mlflow_server(settings, tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@dataclass(frozen=True)
class Following:
    """A running service, its registry, and good versions; `first` is in Production when it starts."""

    client: httpx.Client
    log: Path
    faults: Faults
    settings: Settings
    contract: FeatureContract
    first: ModelVersion
    second: ModelVersion

    def promote(self, version: ModelVersion) -> None:
        follow.promote(self.settings, version)

    def takes(self, version: ModelVersion) -> float:
        """Promotes a good version, and waits until it answers; gives the seconds."""
        self.promote(version)
        return follow.wait_for(self.client, version.version, self.log)


@pytest.fixture(scope="module")
def service(
    settings: Settings, small_model: "SmallModel", mlflow: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Following]:
    contract, folder = small_model.contract, tmp_path_factory.mktemp("service")
    first, second = (follow.publish(settings, contract, Variant(seed)) for seed in (11, 12))
    follow.promote(settings, first)
    with follow.faulty(mlflow.address) as faults:
        address = faults.address.replace("//", "//ann:secret@")
        tag, variables = small_model.bundle.bento_tag, FOLLOWING | {"ASOF_REGISTRY_URL": address}
        with kit.serving(settings, tag, folder, **variables) as client:
            kit.eventually(lambda: client.get("/readyz").status_code == 200, 60, folder / "log")
            yield Following(client, folder / "log", faults, settings, contract, first, second)


def test_it_begins_with_what_is_in_production_and_not_with_what_it_was_built_with(service: Following) -> None:
    model = service.client.get("/model").json()
    assert (model["version"], model["run_id"]) == (service.first.version, service.first.run_id)
    assert model["following"]["registry"] == "ok"
    assert model["following"]["in_production"] == service.first.version
    assert follow.predict(service.client).json()["model"]["run_id"] == service.first.run_id


def test_a_promotion_is_followed_and_no_request_fails_meanwhile(service: Following) -> None:
    service.takes(service.first)
    with follow.load_on(service.client) as load:
        seconds = service.takes(service.second)
    assert load.failed == []
    assert load.versions == {service.first.version, service.second.version}
    assert seconds < 10
    changes = [one[2] != other[2] for one, other in zip(load.answers, load.answers[1:], strict=False)]
    assert sum(changes) <= 3  # two clients: the two last requests of the old may overtake
    assert follow.metric(service.client, f'asof_serving_workers{{version="{service.second.version}"}}') == 1
    assert follow.metric(service.client, f'asof_serving_workers{{version="{service.first.version}"}}') == 0


def test_back_to_the_one_before_takes_no_fetch(service: Following) -> None:
    service.takes(service.first)
    service.takes(service.second)
    service.faults.asked.clear()
    with follow.load_on(service.client) as load:
        service.takes(service.first)
    assert load.failed == []
    assert [path for path in service.faults.asked if "artifacts" in path] == []


def test_the_password_of_the_registry_is_told_nowhere(service: Following) -> None:
    assert "secret" not in service.log.read_text()
    assert "secret" not in service.client.get("/model").text
