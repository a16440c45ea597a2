"""`make up`: a service that follows this checkout's registry, started, restarted, refused; real servers under load."""

import os
import shutil
import signal
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import psycopg
import pytest

from asof.errors import ConfigurationError, ServingError
from asof.files import try_lock
from asof.ledger.spool.shipper import LOCK
from asof.settings import Settings, export
from asof.use_cases import load
from flows.terminal.up import check_ready, served_use_cases, start_stack
from local.stack import background, stack
from local.stack.services import prediction_name
from local.stack.stack import State
from tests.kits.machine.databases import fresh
from tests.kits.machine.prefect_database import copy_database
from tests.kits.service import following as follow
from tests.kits.service import serving as kit
from tests.kits.service.following import Variant
from training.features.materialisation.feature_registry import apply_features
from training.release.bundling.bundle import bundle
from training.release.promotion.promote import rollback

if TYPE_CHECKING:
    from tests.kits.service.small_model import SmallModel

CHURN = load("churn")
PREDICTION = prediction_name("churn")


@dataclass(frozen=True)
class Foreign:
    """Another checkout's version 1 in Production, whose Bento is the newest in the store that both share."""

    run_id: str
    bento: str


@pytest.fixture(scope="module")
def foreign(
    server: Settings, mlflow_tables: str, small_model: "SmallModel", tmp_path_factory: pytest.TempPathFactory
) -> Foreign:
    with fresh(server, tmp_path_factory.mktemp("another"), mlflow_tables) as another:
        apply_features(another)
        version, _ = kit.register_small_model(another, kit.registered_contract(another))
        follow.promote(another, version)
        assert version.version == "1"
        built = bundle(another, CHURN)
    return Foreign(built.run_id, built.bento_tag)


@dataclass(frozen=True)
class Stack:
    """The stack of this checkout; its version 1 is in Production when it starts."""

    settings: Settings
    client: httpx.Client
    first: str

    @property
    def folder(self) -> Path:
        return stack.run_folder(self.settings)

    @property
    def log(self) -> Path:
        return background.log_file(PREDICTION, self.folder)

    def up(self, **changed: object) -> State:
        """`make up`, with the service's state afterwards."""
        states = start_stack(self.settings.model_copy(update=changed), [CHURN])
        assert check_ready(self.settings, states, [CHURN]) == ""
        return next(state for state in states if state.name == PREDICTION)

    @property
    def model(self) -> tuple[str, str]:
        """Version and run of what answers."""
        model = follow.predict(self.client).json()["model"]
        return model["version"], model["run_id"]


@pytest.fixture(scope="module")
def up(settings: Settings, small_model: "SmallModel", foreign: Foreign, prefect_database: Path) -> Iterator[Stack]:
    copy_database(prefect_database, settings)
    kit.write_users(settings, {"good": kit.USER}, kit.NOW)
    export(settings)
    bundled = small_model.bundle
    first = follow.ModelVersion(kit.NAME, str(bundled.version), bundled.run_id, kit.facts_of(small_model.contract), {})
    follow.promote(settings, first)
    ports = {name: kit.free_port() for name in ("port", "mlflow_port", "prefect_port")}
    own = settings.model_copy(update={**ports, "clock": kit.NOW, "follow_seconds": 0.5})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{own.port}", timeout=10) as client:
            up = Stack(own, client, bundled.run_id)
            up.up()
            yield up
    finally:
        stack.down(own)


def test_the_service_runs_this_registrys_version_whatever_bento_of_another_checkout_is_newer(
    up: Stack, foreign: Foreign
) -> None:
    import bentoml

    assert str(bentoml.get(f"{kit.NAME}:latest").tag) == foreign.bento
    assert up.model == ("1", up.first)
    assert up.first != foreign.run_id


def test_promotions_a_refused_version_and_a_rollback_fail_no_request(up: Stack, small_model: "SmallModel") -> None:
    seconds = []
    with follow.load_on(up.client, clients=4) as load_:
        for seed in (51, 52):
            version = follow.publish(up.settings, small_model.contract, Variant(seed))
            follow.promote(up.settings, version)
            seconds.append(follow.wait_for(up.client, version.version, up.log))
        bad = follow.publish(up.settings, small_model.contract, Variant(54, sealed=False))
        follow.promote(up.settings, bad)
        kit.eventually(lambda: f"Version {bad.version} is refused" in up.log.read_text(), 30, up.log)
        back = rollback(up.settings, CHURN, to=str(int(version.version) - 1), reason="a test")
        seconds.append(follow.wait_for(up.client, back.version, up.log))
    assert load_.failed == []
    assert load_.versions == {"1", "2", "3"}
    assert statistics.median(seconds) < 10  # the first imports scikit-learn: these models are not compiled


def test_a_second_up_changes_nothing_and_changed_settings_restart_the_service(up: Stack) -> None:
    before = up.up()
    assert up.up() == before
    changed = up.up(lookup_timeout=1.0)
    assert (changed.address, changed.note) == (before.address, "")
    assert changed.pid != before.pid
    assert psutil.Process(before.pid).status() == psutil.STATUS_ZOMBIE  # of this process, which started it


def test_a_second_use_case_is_served_beside_the_first_and_stops_with_it(up: Stack) -> None:
    cancer, before = load("breast_cancer"), up.up()
    assert [each.name for each in served_use_cases(up.settings, None)] == ["churn"]
    assert [each.name for each in served_use_cases(up.settings, "breast_cancer")] == ["breast_cancer"]
    states = start_stack(up.settings, [CHURN, cancer])
    by_name = {state.name: state for state in states}
    assert by_name[PREDICTION] == before
    other = by_name[prediction_name("breast_cancer")]
    assert other.address not in ("", before.address)
    assert "No version of breast_cancer is in Production yet" in check_ready(up.settings, states, [CHURN, cancer])
    assert httpx.get(f"{other.address}/docs.json", timeout=10).json()["info"]["title"] == cancer.title
    with pytest.raises(ConfigurationError, match="no luck"):
        stack.up(up.settings, {"churn": broken_build, "breast_cancer": lambda: "breast_cancer:gone"})
    assert {state.name: state.running for state in stack.states(up.settings)}[other.name]
    background.end(other.name, up.folder)


def broken_build() -> str:
    raise ConfigurationError("no luck")


def test_the_workers_of_a_killed_service_are_ended_by_the_next_start(up: Stack) -> None:
    state = up.up(lookup_timeout=1.0)
    assert state.pid
    os.kill(state.pid, signal.SIGKILL)  # its workers go on
    again = up.up()
    assert again.pid != state.pid
    assert again.address == state.address
    assert len(follow.workers(up.log)) == 1


def test_a_service_that_does_not_start_is_an_error_and_leaves_no_process(up: Stack) -> None:
    state = up.up()
    bentos = up.settings.bentoml_home / "bentos" / kit.NAME
    (newest,) = (each for each in psutil.Process(state.pid).cmdline() if each.startswith(f"{kit.NAME}:code-"))
    shutil.copytree(bentos / newest.partition(":")[2], bentos / "broken")
    (bentos / "broken" / "src" / "service.py").write_text("raise SystemExit('no luck today')")
    with pytest.raises(ConfigurationError, match=r"(?s)prediction service of churn stopped while.*no luck today"):
        stack.up(up.settings, {"churn": lambda: f"{kit.NAME}:broken"})
    with pytest.raises(ConfigurationError, match=f"There is no Bento {kit.NAME}:never"):
        stack.up(up.settings, {"churn": lambda: f"{kit.NAME}:never"})
    states = {each.name: each.running for each in stack.states(up.settings)}
    assert (states["mlflow"], states["prefect"], states[PREDICTION]) == (True, True, False)
    assert follow.workers(up.log) == []
    assert up.up().running
    assert up.client.get("/readyz").status_code == 200


def test_the_mlflow_server_is_one_process_that_serves_page_and_api(up: Stack) -> None:
    up.up()
    mlflow = background.find("mlflow", up.folder)
    assert mlflow
    assert psutil.Process(mlflow.pid).children(recursive=True) == []
    assert httpx.get(mlflow.address).status_code == 200
    found = httpx.get(f"{mlflow.address}/api/2.0/mlflow/registered-models/search").json()["registered_models"]
    assert CHURN.model_name in [each["name"] for each in found]


def test_a_start_without_mlflow_serves_the_version_that_answered_last(up: Stack) -> None:
    up.up()
    before = up.model
    background.end(PREDICTION, up.folder)
    away = up.settings.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:9"})
    background.end("mlflow", up.folder)
    states = start_stack(away, [CHURN])
    assert check_ready(away, states, [CHURN]) == ""
    assert up.model == before
    assert "does not answer" in follow.following(up.client)["registry"]


def test_up_fails_on_a_refused_production_version_until_a_good_one_is_promoted(
    up: Stack, small_model: "SmallModel", tmp_path: Path
) -> None:
    """With an empty model cache. It does not wait for START_SECONDS, which would be a ConfigurationError."""
    good = up.model[0]
    bad = follow.publish(up.settings, small_model.contract, Variant(55, sealed=False))
    follow.promote(up.settings, bad)
    fresh_folder = {"follow_folder": tmp_path / "nothing"}
    with pytest.raises(ServingError, match=f"Version {bad.version} is in Production, and is refused: .*is not signed"):
        up.up(**fresh_folder)
    (state,) = (each for each in stack.states(up.settings) if each.name == PREDICTION)
    assert "is refused" in state.note
    rollback(up.settings, CHURN, to=good, reason="a test")
    follow.wait_for(up.client, good, up.log)
    assert up.up(**fresh_folder).pid == state.pid


@pytest.mark.parametrize("follows", ["", "production"])
def test_a_service_with_a_registry_refuses_a_model_whose_run_is_not_in_it(
    up: Stack, foreign: Foreign, small_model: "SmallModel", tmp_path: Path, follows: str
) -> None:
    """Where it follows, nothing is in Production; its own keys, its own features and its own version 1 let it pass."""
    (mlflow,) = (each.address for each in stack.states(up.settings) if each.name == "mlflow")
    follow.withdraw(up.settings)
    variables = {"ASOF_REGISTRY_URL": mlflow, "ASOF_FOLLOW": follows, "ASOF_CLOCK": kit.NOW.isoformat()}
    with kit.serving(up.settings, foreign.bento, tmp_path, ready=False, **variables) as client:
        reason = f"has no run {foreign.run_id}"
        kit.eventually(lambda: reason in client.get("/readyz").text, 60, tmp_path / "log")
        answer = follow.predict(client)
        assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")
        assert reason in answer.json()["detail"]
        assert client.get("/livez").status_code == 200
        assert (tmp_path / "log").read_text().count(reason) == 1
        assert len(follow.workers(tmp_path / "log")) == 1


def test_a_model_of_the_registry_keeps_answering_when_no_version_is_in_production(
    up: Stack, small_model: "SmallModel", tmp_path: Path
) -> None:
    (mlflow,) = (each.address for each in stack.states(up.settings) if each.name == "mlflow")
    follow.withdraw(up.settings)
    variables = {"ASOF_REGISTRY_URL": mlflow, "ASOF_FOLLOW": "production", "ASOF_CLOCK": kit.NOW.isoformat()}
    with kit.serving(up.settings, small_model.bundle.bento_tag, tmp_path, **variables) as client:
        kit.eventually(lambda: client.get("/readyz").status_code == 200, 60, tmp_path / "log")
        assert follow.predict(client).json()["model"]["run_id"] == small_model.bundle.run_id


def test_the_answers_are_kept_by_default_and_down_leaves_no_shipper(up: Stack) -> None:
    up.up()
    follow.wait_for(up.client, up.model[0], up.log)
    asked = {follow.predict(up.client).json()["request_id"] for _ in range(20)}
    assert follow.predict(up.client).headers["AsOf-Kept"] == "process"
    stack.down(up.settings)
    assert not stack.states(up.settings)[-1].running
    folder = up.settings.ledger_folder
    lock = try_lock(folder / LOCK)
    assert lock is not None  # no shipper is left
    lock.close()
    assert list(folder.glob("*.frames")) == []
    with psycopg.connect(up.settings.ledger_conninfo()) as connection:
        kept = connection.execute("SELECT request::text FROM ledger.predictions WHERE status = 200").fetchall()
    assert asked <= {request for (request,) in kept}
