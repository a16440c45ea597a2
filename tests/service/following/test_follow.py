"""A running service follows the production version: good ones are swapped in, bad ones refused; no request fails."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import skops.io
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sklearn.linear_model import LogisticRegression

from asof.features.feature_contract import FeatureContract
from asof.settings import Settings
from asof.trust.signed_manifest import MANIFEST, sign_folder
from tests.kits.service import following as follow
from tests.kits.service import serving as kit
from tests.kits.service.following import Faults, MlflowServer, Variant
from tests.kits.service.small_model import SmallModel
from training.release.registry.versions import ModelVersion

FOLLOWING = {"ASOF_FOLLOW": "production", "ASOF_FOLLOW_SECONDS": "0.2", "ASOF_CLOCK": kit.NOW.isoformat()}


@pytest.fixture(scope="module")
def mlflow(
    settings: Settings, small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    kit.write_users(settings, {"good": kit.USER, "no-internet": {**kit.USER, **kit.WITHOUT_INTERNET}}, kit.NOW)
    with follow.mlflow_server(settings, tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@dataclass(frozen=True)
class Start:
    """The service before its registry answers: while it hangs, and when it has failed several times."""

    predict: httpx.Response
    readyz: httpx.Response
    health: httpx.Response
    served: str
    following: dict[str, Any]


@dataclass(frozen=True)
class Following:
    """A running service, its registry, and good versions; `first` is in production when it starts."""

    client: httpx.Client
    log: Path
    faults: Faults
    settings: Settings
    contract: FeatureContract
    first: ModelVersion
    second: ModelVersion
    start: Start

    def promote(self, version: ModelVersion) -> None:
        follow.promote(self.settings, version)

    def takes(self, version: ModelVersion) -> float:
        """Promotes a good version and waits until it answers; returns the seconds."""
        self.promote(version)
        return follow.wait_for(self.client, version.version, self.log)


def _start(client: httpx.Client, faults: Faults, log: Path) -> Start:
    hanging = follow.predict(client), client.get("/readyz"), client.get("/health")
    faults.fault = lambda path: (500, b"")
    faults.released.set()
    kit.eventually(lambda: client.get("/readyz").status_code == 200, 60, log)
    start = Start(*hanging, follow.served(client), follow.following(client))
    faults.release()
    return start


@pytest.fixture(scope="module")
def service(
    settings: Settings, small_model: SmallModel, mlflow: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Following]:
    contract, folder = small_model.contract, tmp_path_factory.mktemp("service")
    first, second = (follow.publish(settings, contract, Variant(seed)) for seed in (11, 12))
    follow.promote(settings, first)
    temporary = tmp_path_factory.mktemp("temporary")
    with follow.faulty(mlflow.address) as faults:
        faults.fault = lambda path: faults.hang(path) or (500, b"")
        address = faults.address.replace("//", "//ann:secret@")
        variables = FOLLOWING | {"ASOF_REGISTRY_URL": address, "TMPDIR": str(temporary)}
        with kit.serving(settings, small_model.bundle.bento_tag, folder, ready=False, **variables) as client:
            (shared,) = temporary.glob("asof-following-*")
            assert shared.stat().st_mode & 0o777 == 0o700
            start = _start(client, faults, folder / "log")
            follow.wait_for(client, first.version, folder / "log")
            yield Following(client, folder / "log", faults, settings, contract, first, second, start)
        assert not shared.exists()


def test_without_a_registry_it_is_not_ready_and_then_serves_its_own_model_and_logs_it(
    service: Following, small_model: SmallModel
) -> None:
    start, own = service.start, small_model.bundle.version
    assert (start.predict.status_code, start.predict.json()["code"]) == (503, "not-ready")
    assert start.predict.headers["retry-after"] == "1"
    assert (start.readyz.status_code, start.health.status_code) == (503, 503)
    assert start.served == own
    assert "answered 500" in start.following["registry"]
    assert f"Version {own} keeps serving" in service.log.read_text()


def test_it_follows_the_production_version_in_place_of_its_bentos_own(service: Following) -> None:
    model = service.client.get("/model").json()
    assert (model["version"], model["run_id"]) == (service.first.version, service.first.run_id)
    assert model["following"]["registry"] == "ok"
    assert model["runtime"] == "scikit-learn", "these models are not compiled, and are served all the same"
    assert "is not compiled: scikit-learn serves it" in service.log.read_text()
    assert model["following"]["in_production"] == service.first.version
    assert follow.predict(service.client).json()["model"]["run_id"] == service.first.run_id


def test_a_promotion_is_followed_without_a_failed_request(service: Following) -> None:
    service.takes(service.first)
    with follow.load_on(service.client) as load:
        service.takes(service.second)
        kit.eventually(lambda: service.second.version in load.versions, 20, service.log)
    assert load.failed == []
    assert load.versions == {service.first.version, service.second.version}
    changes = [one.version != other.version for one, other in zip(load.answers, load.answers[1:], strict=False)]
    assert sum(changes) <= 3  # two clients: the two last requests of the old may overtake
    assert follow.metric(service.client, f'asof_serving_workers{{version="{service.second.version}"}}') == 1
    assert follow.metric(service.client, f'asof_serving_workers{{version="{service.first.version}"}}') == 0


def test_a_rollback_to_the_previous_version_fetches_nothing(service: Following) -> None:
    service.takes(service.first)
    service.takes(service.second)
    service.faults.asked.clear()
    kept = follow.metric(service.client, 'asof_swaps_total{outcome="kept"}')
    with follow.load_on(service.client) as load:
        service.takes(service.first)
    assert load.failed == []
    assert follow.metric(service.client, 'asof_swaps_total{outcome="kept"}') == kept + 1
    assert [path for path in service.faults.asked if "artifacts" in path] == []


def test_the_password_of_the_registry_is_neither_logged_nor_shown(service: Following) -> None:
    assert "secret" not in service.log.read_text()
    assert "secret" not in service.client.get("/model").text


def pickled(folder: Path) -> None:
    """As MLflow stores a model with cloudpickle."""
    description = yaml.safe_load((folder / "MLmodel").read_text())
    description["flavors"]["sklearn"] |= {"serialization_format": "cloudpickle", "pickled_model": "model.pkl"}
    (folder / "MLmodel").write_text(yaml.safe_dump(description))
    (folder / "model.skops").unlink()
    (folder / "model.pkl").write_bytes(b"cos\nmkdir\n(S'harm'\ntR.")


def intruded(folder: Path) -> None:
    skops.io.dump(kit.Intruder(), folder / "model.skops")


def flipped(folder: Path) -> None:
    content = bytearray((folder / "model.skops").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.skops").write_bytes(content)


def longer(folder: Path) -> None:
    with (folder / "model.skops").open("ab") as file:
        file.write(b"x" * 1000)


def removed(folder: Path) -> None:
    (folder / "model.skops").unlink()


def signed_by_a_stranger(folder: Path) -> None:
    payload = json.loads(base64.b64decode(json.loads((folder / MANIFEST).read_text())["payload"]))
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_bytes(sign_folder(folder, payload["run_id"], Ed25519PrivateKey.generate()))


def swapped(folder: Path) -> None:
    """Replaces the signed file by another valid one."""
    skops.io.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), folder / "model.skops")


BAD = {
    "unsigned": (Variant(sealed=False), "trust", "is not signed"),
    "signed by a stranger": (Variant(tamper=signed_by_a_stranger), "trust", "signed by"),
    "signed for another run": (Variant(signed_for="0" * 32), "trust", "not of run"),
    "a flipped byte": (Variant(tamper=flipped), "trust", "model.skops"),
    "a swapped file": (Variant(tamper=swapped), "trust", "model.skops"),
    "a file longer than signed": (Variant(tamper=longer), "trust", "longer than"),
    "a file that is gone": (Variant(tamper=removed), "trust", "no model.skops"),
    "a forbidden type": (Variant(alter=intruded), "trust", "Intruder"),
    "a pickle": (Variant(alter=pickled), "load", "no model of AsOf"),
    "other golden rows": (Variant(shift=0.01), "load", "golden rows"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_version_that_fails_a_step_never_answers_and_the_reason_is_reported(service: Following, bad: str) -> None:
    variant, step, why = BAD[bad]
    _is_refused(service, follow.publish(service.settings, service.contract, variant), step=step, why=why)


def test_a_version_with_other_features_than_the_store_never_answers(service: Following) -> None:
    variant = Variant(contract=replace(service.contract, features=service.contract.features[:-1]))
    bad = follow.publish(service.settings, service.contract, variant)
    _is_refused(service, bad, step="features", why="only the registry has")


def _is_refused(service: Following, bad: ModelVersion, *, step: str, why: str) -> None:
    """The previous version keeps serving; GET /model, log and metric report the refusal; it is not tried again."""
    service.takes(service.first)
    series = f'asof_refused_versions_total{{step="{step}"}}'
    before = follow.metric(service.client, series)
    with follow.load_on(service.client, clients=1) as load:
        service.promote(bad)
        kit.eventually(lambda: bad.version in _refused(service.client), 30, service.log)
        _two_polls(service)
    assert (load.failed, load.versions) == ([], {service.first.version})
    refusal = _refused(service.client)[bad.version]
    assert refusal["step"] == step
    assert why in refusal["why"]
    assert follow.following(service.client)["in_production"] == bad.version
    assert follow.metric(service.client, series) == before + 1
    assert service.log.read_text().count(f"Version {bad.version} is refused ({step})") == 1


def _refused(client: httpx.Client) -> dict[str, Any]:
    return {each["version"]: each for each in follow.following(client)["refused"]}


def _two_polls(service: Following) -> None:
    """Waits for two more polls of the registry."""
    looks = 'asof_registry_looks_total{outcome="found"}'
    before = follow.metric(service.client, looks)
    kit.eventually(lambda: follow.metric(service.client, looks) > before + 2, 30, service.log)


def test_a_refused_version_is_tried_again_after_another_was_in_production(service: Following) -> None:
    again = follow.publish(service.settings, service.contract, Variant(seed=13, sealed=False))
    service.promote(again)
    kit.eventually(lambda: again.version in _refused(service.client), 30, service.log)
    follow.seal_again(service.settings, again)
    _two_polls(service)
    assert follow.served(service.client) != again.version
    service.takes(service.second)
    service.takes(again)


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"{}"),
        (200, b"nonsense"),
        (200, b"{}"),
        (200, b"[" * 50_000),
        (200, b" " * 3_000_000),
        (404, b"<html>"),
        (302, b""),
        (200, follow.naming("../../etc")),
        (200, follow.naming("7", run_id="../x")),
        (200, follow.naming("7", name="another")),
    ],
)
def test_an_invalid_response_of_the_registry_is_reported_and_changes_nothing(
    service: Following, answer: tuple[int, bytes]
) -> None:
    service.takes(service.first)
    service.faults.fault = lambda path: answer
    kit.eventually(lambda: follow.following(service.client)["registry"] != "ok", 30, service.log)
    assert "registry at http://127.0.0.1" in follow.following(service.client)["registry"]
    assert follow.served(service.client) == service.first.version
    service.faults.fault = lambda path: None
    service.takes(service.second)
    assert follow.following(service.client)["registry"] == "ok"


def test_a_version_without_files_is_refused(service: Following) -> None:
    service.takes(service.first)
    service.faults.fault = lambda path: (200, follow.naming("7777")) if "alias" in path else None
    kit.eventually(lambda: "7777" in _refused(service.client), 30, service.log)
    service.faults.fault = lambda path: (200, follow.naming("8888", source="/etc")) if "alias" in path else None
    kit.eventually(lambda: "8888" in _refused(service.client), 30, service.log)
    service.faults.fault = lambda path: None
    service.takes(service.second)


@pytest.mark.parametrize("fault", ["500", "hang"])
def test_a_failed_download_is_retried(service: Following, fault: str) -> None:
    """A partly fetched model never answers."""
    service.takes(service.first)
    third = follow.publish(service.settings, service.contract, Variant(seed=14))
    faults = {"500": lambda path: (500, b"away"), "hang": service.faults.hang}
    service.faults.fault = lambda path: faults[fault](path) if "model.skops" in path else None
    service.promote(third)
    with follow.load_on(service.client, clients=1) as load:
        kit.eventually(lambda: follow.following(service.client)["registry"] != "ok", 30, service.log)
    assert (load.failed, load.versions) == ([], {service.first.version})
    assert third.version not in _refused(service.client)
    service.faults.release()
    follow.wait_for(service.client, third.version, service.log)


def test_with_no_production_version_the_service_keeps_serving_and_logs_it(service: Following) -> None:
    service.takes(service.first)
    follow.withdraw(service.settings)
    kit.eventually(lambda: follow.following(service.client)["in_production"] is None, 30, service.log)
    assert follow.served(service.client) == service.first.version
    assert f"No version is in Production: version {service.first.version} keeps serving" in service.log.read_text()
    service.takes(service.second)


def test_mlflow_may_stop_and_start(service: Following, mlflow: MlflowServer) -> None:
    service.takes(service.first)
    before = service.log.read_text()
    mlflow.stop()
    kit.eventually(lambda: follow.following(service.client)["registry"] != "ok", 30, service.log)
    with follow.load_on(service.client, clients=1) as load:
        service.promote(service.second)
        mlflow.start()
        follow.wait_for(service.client, service.second.version, service.log)
    assert load.failed == []
    logged = service.log.read_text().removeprefix(before)
    assert [logged.count("The registry at http"), logged.count("The registry answers")] == [1, 1]


def test_a_version_that_fails_at_live_rows_is_reverted_and_no_request_fails(service: Following) -> None:
    """It raises for a user without internet, and its golden rows have none."""
    service.takes(service.first)
    bad = follow.publish(service.settings, service.contract, Variant(seed=15, unknown="error"))
    with follow.load_on(service.client, clients=1) as load, ExitStack() as later:
        service.takes(bad)
        hard = later.enter_context(follow.load_on(service.client, user="no-internet"))  # it is gone a moment after
        kit.eventually(lambda: bad.version in _refused(service.client), 30, service.log)
        _two_polls(service)
        back = time.monotonic()
        _two_polls(service)
    assert load.failed == hard.failed == []
    assert hard.versions == {service.first.version}
    assert load.versions == {service.first.version, bad.version}
    assert {each.version for each in load.answers if each.sent > back} == {service.first.version}
    assert _refused(service.client)[bad.version]["step"] == "answers"
    assert follow.metric(service.client, 'asof_swaps_total{outcome="returned"}') == 1
    service.takes(service.second)


def test_failures_in_a_batch_are_answered_by_the_standby_and_count_against_the_new_version(service: Following) -> None:
    service.takes(service.second)
    bad = follow.publish(service.settings, service.contract, Variant(seed=16, unknown="error"))
    service.takes(bad)

    def ask(*users: str) -> tuple[dict[str, Any], list[str]]:
        """The answer, and the version that answered each item."""
        document = service.client.post(
            "/predict/batch", json={"instances": [{"user_id": user} for user in users]}
        ).json()
        return document, [item.get("model", document["model"])["version"] for item in document["predictions"]]

    document, versions = ask("good", "no-internet", "good", "nobody")
    assert versions == [bad.version, service.second.version, bad.version, bad.version]
    assert [item.get("problem", {}).get("code") for item in document["predictions"]] == [None] * 3 + [
        "entity-not-found"
    ]
    assert ask("no-internet", "no-internet")[1] == [service.second.version] * 2
    kit.eventually(lambda: bad.version in _refused(service.client), 30, service.log)
    assert ask("good", "no-internet")[1] == [service.second.version] * 2
