"""A Bento without a model: ready with the first good production version, whose cached copy survives restarts."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bentoml
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from asof.errors import ModelError
from asof.features.feature_contract import FeatureContract
from asof.inference.served_model import MLFLOW_FOLDER
from asof.settings import Settings, export
from asof.trust.signed_manifest import verify_folder
from asof.trust.signing_keys import key_id, public_text, signing_key, trusted_keys
from asof.use_cases import load
from asof.use_cases.breast_cancer.data import EXAMPLE
from tests.kits.machine.terminal import call_flows
from tests.kits.models.cancer import CANCER, make
from tests.kits.service import following as follow
from tests.kits.service import serving as kit
from tests.kits.service.following import MlflowServer, Variant
from training.audit.lineage.trace import trace_request
from training.features.materialisation.feature_registry import apply_features
from training.release.bundling.bundle import bundle
from training.release.bundling.code_bundle import CodeBundle, bundle_code
from training.release.registry.versions import ModelVersion

FOLLOWING = {"ASOF_FOLLOW": "production", "ASOF_FOLLOW_SECONDS": "0.2", "ASOF_CLOCK": kit.NOW.isoformat()}


@pytest.fixture(scope="module")
def built(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> CodeBundle:
    """Built from the sources alone."""
    kit.bentoml_home(tmp_path_factory)
    return bundle_code(Settings(home=tmp_path_factory.mktemp("bare"), trusted_keys=None), load("churn"))


@pytest.fixture(scope="module")
def contract(settings: Settings, built: CodeBundle) -> FeatureContract:
    export(settings)
    apply_features(settings)
    kit.write_users(settings, {"good": kit.USER}, kit.NOW)
    return kit.registered_contract(settings)


@pytest.fixture(scope="module")
def mlflow(
    settings: Settings, contract: FeatureContract, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    with follow.mlflow_server(settings, tmp_path_factory.mktemp("mlflow")) as server:
        yield server


def _variables(settings: Settings, address: str, kept: Path) -> dict[str, str]:
    key = signing_key(settings).public_key()
    own = {"ASOF_TRUSTED_KEYS": public_text({key_id(key): key}), "ASOF_FOLLOW_FOLDER": str(kept)}
    return FOLLOWING | own | {"ASOF_REGISTRY_URL": address}


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def _kill(log: Path) -> None:
    """The service with all its workers, at once."""
    os.killpg(os.getpgid(follow.workers(log)[0]), signal.SIGKILL)


def _is_not_ready(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == "not-ready"
    return problem


def _answers_typed(client: httpx.Client, tag: str, trouble: str, detail: str = "promote one") -> None:
    """The response of every path while there is no model."""
    for answer in (
        follow.predict(client),
        client.post("/predict/batch", json={"instances": [{"user_id": "good"}]}),
        client.get("/features/good"),
        client.get("/model"),
    ):
        assert answer.headers["retry-after"] == "1"
        assert detail in _is_not_ready(answer)["detail"]
    following = client.get("/model").json()["following"]
    assert not {"in_production", "serving_since"} & following.keys(), "a problem leaves out what is null"
    assert trouble in following["registry"]
    assert client.post("/predict", json={"user": 1}).json()["code"] == "invalid-request"
    _is_not_ready(client.get("/readyz"))
    assert client.get("/livez").status_code == 200
    health = client.get("/health")
    assert health.status_code == 503
    assert health.json() | {"clock": ""} == {
        "status": "unavailable",
        "feature_store": "not asked: there is no model yet",
        "model": kit.NAME,
        "version": None,
        "bento": tag,
        "clock": "",
        "replaying": True,
    }
    assert follow.metric(client, 'asof_predictions_total{code="not-ready"}') >= 1
    assert "asof_serving_workers{" not in client.get("/metrics").text


def test_it_is_ready_with_the_first_good_version_which_survives_restarts_without_mlflow_or_a_good_version(
    settings: Settings, contract: FeatureContract, built: CodeBundle, mlflow: MlflowServer, tmp_path: Path
) -> None:
    """A refusal is not kept for a restart: other keys or other code may accept the version."""
    kept, first = tmp_path / "kept" / "models", _folder(tmp_path, "first")
    variables = _variables(settings, mlflow.address, kept)
    variables |= {"ASOF_LEDGER": "process", "ASOF_LEDGER_SPOOL": str(settings.ledger_folder)}
    unsigned, good = (
        follow.publish(settings, contract, each) for each in (Variant(31, sealed=False), Variant(32, compiled=True))
    )
    with kit.serving(settings, built.bento_tag, first, ready=False, **variables) as client:
        kit.eventually(lambda: "promote one" in follow.predict(client).text, 60, first / "log")
        _answers_typed(client, built.bento_tag, "ok")
        assert first.joinpath("log").read_text().count("No version is in Production: there is no model yet") == 1

        refused = follow.predict(client).json()["request_id"]
        with pytest.raises(ModelError, match="the service had no model yet"):
            trace_request(settings, load("churn"), refused)

        follow.promote(settings, unsigned)
        kit.eventually(lambda: "is refused (trust)" in (first / "log").read_text(), 30, first / "log")
        assert _is_not_ready(client.get("/model"))["following"]["refused"][0]["version"] == unsigned.version
        assert (
            f"Version {unsigned.version} is in Production, and is refused"
            in _is_not_ready(client.get("/readyz"))["detail"]
        )

        follow.promote(settings, good)
        follow.wait_for(client, good.version, first / "log")
        kit.eventually(lambda: client.get("/readyz").status_code == 200, 30, first / "log")
        model = client.get("/model").json()
        assert (model["name"], model["bento"]) == (kit.NAME, built.bento_tag)
        assert model["following"]["serving_since"]
        assert client.get("/features/good").status_code == 200

        follow.promote(settings, unsigned)
        kit.eventually(lambda: (first / "log").read_text().count("is refused (trust)") == 2, 30, first / "log")
        assert follow.following(client)["in_production"] == unsigned.version
        assert follow.served(client) == good.version
        _kill(first / "log")
    mlflow.stop()
    second = _folder(tmp_path, "second")
    with kit.serving(settings, built.bento_tag, second, **variables) as client:
        assert follow.served(client) == good.version
        assert "does not answer" in follow.following(client)["registry"]
        assert [each.name for each in (kept / kit.NAME).iterdir()] == ["0"]
        assert (kept / kit.NAME / "0").stat().st_mode & 0o777 == 0o700
        mlflow.start()
        kit.eventually(lambda: follow.following(client)["registry"] == "ok", 30, second / "log")
        kit.eventually(lambda: "is refused (trust)" in (second / "log").read_text(), 30, second / "log")
        assert follow.following(client)["in_production"] == unsigned.version
        assert follow.served(client) == good.version


def test_the_kept_folder_cannot_introduce_another_model_than_the_registrys(
    settings: Settings, contract: FeatureContract, built: CodeBundle, mlflow: MlflowServer, tmp_path: Path
) -> None:
    """An older, also signed model in place of the newer one; a record that this release cannot read; other keys."""
    variables = _variables(settings, mlflow.address, tmp_path / "kept")
    older, newer = (follow.publish(settings, contract, Variant(seed, compiled=True)) for seed in (36, 37))
    log = _folder(tmp_path, "first") / "log"
    with kit.serving(settings, built.bento_tag, log.parent, ready=False, **variables) as client:
        for version in (older, newer):
            follow.promote(settings, version)
            follow.wait_for(client, version.version, log)
        _kill(log)
    kept = tmp_path / "kept" / kit.NAME / "0"
    old, new = (kept / "models" / f"{each.version}-{each.run_id}" for each in (older, newer))
    shutil.rmtree(new)
    shutil.copytree(old, new)
    (kept / "production.json").write_text('{"of": "another release"}')
    mlflow.stop()
    log = _folder(tmp_path, "second") / "log"
    with kit.serving(settings, built.bento_tag, log.parent, ready=False, **variables) as client:
        kit.eventually(lambda: "There is no model yet" in follow.predict(client).text, 60, log)
        assert f"holds the model of run {older.run_id}, not of run {newer.run_id}" in log.read_text()
        _answers_typed(client, built.bento_tag, "does not answer", "does not answer")
        away = 'asof_registry_looks_total{outcome="away"}'
        looks = follow.metric(client, away)
        kit.eventually(lambda: follow.metric(client, away) > looks + 5, 30, log)
        assert log.read_text().count("does not answer (ConnectError). There is no model yet to answer.") == 1
        mlflow.start()
        follow.wait_for(client, newer.version, log)
        assert verify_folder(new / MLFLOW_FOLDER, trusted_keys(settings)).manifest.run_id == newer.run_id
        _is_refused_beside(client, newer, (settings, built.bento_tag, _folder(tmp_path, "other"), variables))
    assert {each.name for each in (tmp_path / "kept" / kit.NAME).iterdir()} == {"0", "1"}


def _is_refused_beside(
    client: httpx.Client, version: ModelVersion, other: tuple[Settings, str, Path, dict[str, str]]
) -> None:
    """A second service in the same folder, which trusts other keys, refuses the version and does not disturb."""
    settings, tag, folder, variables = other
    variables = variables | {"ASOF_TRUSTED_KEYS": public_text({"": Ed25519PrivateKey.generate().public_key()})}
    with kit.serving(settings, tag, folder, ready=False, **variables) as refusing:
        kit.eventually(lambda: "is refused (trust)" in (folder / "log").read_text(), 30, folder / "log")
        assert follow.following(client)["refused"] == []
        assert follow.served(client) == version.version
        _is_not_ready(refusing.get("/readyz"))


def _unset(settings: Settings, kept: Path, **changed: str) -> dict[str, str]:
    """The environment of a service that follows, but for what is changed."""
    variables = _variables(settings, "http://127.0.0.1:9", kept)
    return {**os.environ, **settings.environment(), **variables, "ASOF_HOME": str(kept.with_name("bare")), **changed}


def test_a_missing_setting_ends_the_start_with_a_message(settings: Settings, built: CodeBundle, tmp_path: Path) -> None:
    bare = _unset(settings, tmp_path / "kept", ASOF_POSTGRES_URL="")
    command = [sys.executable, "-m", "bentoml", "serve", built.bento_tag, "--port", str(kit.free_port())]
    done = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "ASOF_POSTGRES_URL is not set" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ASOF_REGISTRY_URL": "", "MLFLOW_TRACKING_URI": "postgresql://nobody"}, "set ASOF_REGISTRY_URL"),
        ({"ASOF_TRUSTED_KEYS": ""}, "set ASOF_TRUSTED_KEYS"),
        ({"ASOF_FOLLOW_FOLDER": "/proc/nowhere"}, "ASOF_FOLLOW_FOLDER cannot be used"),
    ],
)
def test_each_missing_setting_is_named_before_the_workers_start(
    settings: Settings, changed: dict[str, str], message: str, tmp_path: Path
) -> None:
    assert message in kit.start_error("churn", _unset(settings, tmp_path / "kept", **changed))


def test_a_use_case_with_features_in_the_request_follows_too(
    settings: Settings, built: CodeBundle, mlflow: MlflowServer, tmp_path: Path
) -> None:
    """Without PostgreSQL and Feast."""
    nowhere = dict.fromkeys(("ASOF_POSTGRES_URL", "ASOF_FEAST_REGISTRY_URL", "ASOF_FEAST_HOST"), "")
    variables = _variables(settings, mlflow.address, tmp_path / "kept") | nowhere
    tag, absent = bundle_code(settings, CANCER).bento_tag, ("mlflow", "prefect", "feast")
    body = {"features": list(EXAMPLE)}
    with kit.serving(settings, tag, tmp_path, absent, ready=False, **variables) as client:
        kit.eventually(lambda: "promote one" in client.post("/predict", json=body).text, 60, tmp_path / "log")
        _is_not_ready(client.post("/predict/batch", json={"instances": [body]}))
        assert client.get("/health").json()["feature_store"] == "not asked: there is no model yet"
        made = make(settings)
        kit.eventually(lambda: client.get("/readyz").status_code == 200, 30, tmp_path / "log")
        answer = client.post("/predict", json=body).json()
        assert (answer["class_name"], answer["model"]["version"]) == ("malignant", made.version.version)
        assert client.post("/predict/batch", json={"instances": [body]}).status_code == 200


def test_equal_sources_give_the_same_tag_without_a_second_build_and_latest_stays(
    settings: Settings, contract: FeatureContract, built: CodeBundle, tmp_path: Path
) -> None:
    """Tests of this process share a store, so that another one may have built first; nobody has with a new key."""
    bare, churn = Settings(home=tmp_path, trusted_keys=None), load("churn")
    assert bundle_code(bare, churn) == CodeBundle(built.bento_tag, created=False)
    assert not (tmp_path / "keys").exists()
    bento = bentoml.get(built.bento_tag)
    assert bento.info.args == {"use_case": "churn", "trusted_keys": ""}
    assert bento.info.all_models == []

    in_production = bundle(settings, churn, follow.publish(settings, contract))
    key = public_text({"": Ed25519PrivateKey.generate().public_key()})
    with_key = bare.model_copy(update={"trusted_keys": key})
    trusting = bundle_code(with_key, churn)
    assert trusting.created
    assert bundle_code(with_key, churn) == CodeBundle(trusting.bento_tag, created=False)
    assert trusting.bento_tag != built.bento_tag
    assert bentoml.get(trusting.bento_tag).info.args["trusted_keys"] == key
    assert str(bentoml.get(f"{kit.NAME}:latest").tag) == in_production.bento_tag


def test_the_command_needs_no_server_and_starts_none(built: CodeBundle, tmp_path: Path) -> None:
    nowhere = dict.fromkeys(("ASOF_POSTGRES_URL", "MLFLOW_TRACKING_URI"), "postgresql://nobody@127.0.0.1:9/none")
    bare = {**os.environ, **nowhere, "ASOF_HOME": str(tmp_path / "home"), "ASOF_TRUSTED_KEYS": ""}
    command = [sys.executable, "-m", "flows", "bundle", "churn", "--without-model", "--json"]
    done = subprocess.run(command, env=bare, capture_output=True, text=True, timeout=600, check=True)
    assert json.loads(done.stdout) == {"bento_tag": built.bento_tag, "created": False}
    assert not (tmp_path / "home").exists()
    both = call_flows(bare, *command[3:], "--run-id", "0" * 32)
    assert both.returncode == 1
    assert "exclude each other" in both.stderr
