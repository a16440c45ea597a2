"""A new Bento takes the traffic over from the old one on the local stack: real Bentos under load, and broken ones."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asof.errors import ConfigurationError
from asof.settings import Settings
from asof.use_cases import load
from flows.live import deploy_bento, roll_service_back
from local import background, stack, swap
from local.deploy import Standing, deploy, standing
from local.traffic import FRONT, SLOTS, Traffic, read_traffic, switch, traffic_file
from tests import serving_kit as kit
from training.bundle import bundle
from training.production import ALIAS
from training.tracking import open_tracking

if TYPE_CHECKING:
    from tests.e2e.conftest import SmallModel

CLIENTS = 8
QUESTION = json.dumps({"user_id": "good"}).encode()
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Stack:
    """A local stack with two Bentos of two versions, the first of which answers."""

    settings: Settings
    address: str
    bentos: tuple[str, str]
    versions: tuple[str, str]

    @property
    def folder(self) -> Path:
        return stack.run_folder(self.settings)

    @property
    def bento(self) -> str:
        """The one that answers."""
        told = httpx.get(f"{self.address}/model").json()
        return str(told["bento"])

    @property
    def other(self) -> str:
        """The one that does not answer."""
        return next(bento for bento in self.bentos if bento != self.bento)

    def version(self, bento: str) -> str:
        """The version in it."""
        return self.versions[self.bentos.index(bento)]


@pytest.fixture(scope="module")
def served(settings: Settings, small_model: "SmallModel") -> Iterator[Stack]:
    """The front door with the first Bento behind it; the second one waits in the store."""
    kit.write_users(settings, {"good": kit.USER}, kit.NOW)
    version, _ = kit.register_small_model(settings, small_model.contract)
    second = bundle(settings, load("churn"), version)
    clocked = settings.model_copy(update={"clock": kit.NOW, "port": kit.free_port()})
    try:
        first = deploy(clocked, small_model.bundle.bento_tag)
        yield Stack(
            clocked,
            first.address,
            (small_model.bundle.bento_tag, second.bento_tag),
            (str(small_model.bundle.version), version.version),
        )
    finally:
        stack.down(clocked)


@dataclass
class Seen:
    """One answer: when it was asked for (wall clock, ns), its status, and the version in it."""

    sent: int
    status: int
    version: str


@dataclass
class Load:
    """Clients with kept connections, each of which asks again as soon as it is answered."""

    served: Stack
    seen: list[Seen] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def client(self) -> None:
        with httpx.Client(base_url=self.served.address, timeout=30) as client:
            while not self.stop.is_set():
                sent = time.time_ns()
                try:
                    answer = client.post("/predict", content=QUESTION, headers=JSON)
                    told = answer.json()
                    self.seen.append(Seen(sent, answer.status_code, told["model"]["version"]))
                    assert told["user_id"] == "good"
                except Exception as error:
                    self.failures.append(repr(error))

    def while_(self, act: Callable[[], Any]) -> None:
        """Runs `act` under load, with a second of load before it and after it."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(self.client) for _ in range(CLIENTS)]
            time.sleep(1)
            try:
                act()
                time.sleep(1)
            finally:
                self.stop.set()
            for client in clients:
                client.result()


def test_two_swaps_under_load_fail_no_request_and_each_answer_is_of_the_version_of_its_moment(served: Stack) -> None:
    load_, switches = Load(served), list[int]()
    old, new = served.bento, served.other
    first, second = served.version(old), served.version(new)

    def swap_twice() -> None:
        for bento in (new, old):
            done = deploy(served.settings, bento)
            assert (done.bento, done.created) == (bento, True)
            switches.append(traffic_file(served.folder).stat().st_mtime_ns)

    load_.while_(swap_twice)
    assert load_.failures == []
    assert {each.status for each in load_.seen} == {200}
    away, back = switches
    tick = 20_000_000  # what the file system's clock may lag behind the processes'
    sent_while = {
        first: [each for each in load_.seen if each.sent > back + tick],
        second: [each for each in load_.seen if away + tick < each.sent < back - 1_000_000_000],
    }
    for version, asked in sent_while.items():
        assert len(asked) > 20
        assert {each.version for each in asked} == {version}
    assert {each.version for each in load_.seen if each.sent < away - 1_000_000_000} == {first}


def test_a_request_that_is_on_its_way_when_the_traffic_moves_is_finished_by_the_one_that_got_it(
    served: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = served.bento, served.other
    sending, moved = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield QUESTION[:5]
        sending.set()
        assert moved.wait(5)
        yield QUESTION[5:]

    with ThreadPoolExecutor(2) as pool, httpx.Client(base_url=served.address, timeout=60) as client:
        requests = []

        def switch_meanwhile(folder: Path, traffic: Traffic) -> None:
            requests.append(pool.submit(client.post, "/predict", content=slowly(), headers=JSON))
            assert sending.wait(5)
            assert served.bento == old  # answered after the front door has seen the other
            switch(folder, traffic)

        monkeypatch.setattr(swap, "switch", switch_meanwhile)
        deployed = pool.submit(deploy, served.settings, new)
        kit.eventually(lambda: served.bento == new, 60, background.log_file(FRONT, served.folder))
        assert not deployed.done()
        moved.set()
        answer = requests[0].result()
        assert deployed.result().previous == old
    assert (answer.status_code, answer.json()["model"]["version"]) == (200, served.version(old))


def test_the_same_bento_with_the_same_settings_stays_and_other_settings_are_a_swap(served: Stack) -> None:
    bento = served.bento
    again = deploy(served.settings, bento)
    assert (again.created, again.previous) == (False, bento)
    changed = deploy(served.settings.model_copy(update={"lookup_timeout": 1.0}), bento)
    assert changed.created
    assert standing(served.settings) == Standing(bento, follows=False)
    (_, _, _, prediction) = stack.states(served.settings)
    assert (prediction.running, prediction.address, prediction.note) == (True, served.address, bento)


def test_a_version_that_is_back_in_the_registry_is_brought_back_into_the_service_that_serves_its_model(
    served: Stack,
) -> None:
    old, new = served.bento, served.other
    open_tracking(served.settings).set_registered_model_alias(kit.NAME, ALIAS, served.version(new))
    assert roll_service_back(served.settings, load("breast_cancer"), "1") == {}
    told = roll_service_back(served.settings, load("churn"), served.version(new))
    assert (told["service"]["previous"], told["service"]["bento"], served.bento) == (old, new, new)
    with pytest.raises(ConfigurationError, match="is no Bento of breast_cancer"):
        deploy_bento(served.settings, load("breast_cancer"), old)


@pytest.fixture
def copied(served: Stack, bentoml_home: Path) -> Iterator[Path]:
    """A copy of the second Bento under a version that it does not know of."""
    name, _, version = served.bentos[1].partition(":")
    place = bentoml_home / "bentos" / name
    shutil.copytree(place / version, place / "copied")
    yield place / "copied"
    shutil.rmtree(place / "copied")


def test_a_bento_that_does_not_start_or_is_not_the_one_that_is_meant_never_answers(served: Stack, copied: Path) -> None:
    """Nor does it take the metrics along: a starting BentoML service empties their folder in its BENTOML_HOME."""
    before, bento = read_traffic(served.folder), served.bento
    assert httpx.post(f"{served.address}/predict", content=QUESTION, headers=JSON).status_code == 200
    with pytest.raises(ConfigurationError, match=f"copied was started, and {served.bentos[1]} answers"):
        deploy(served.settings, f"{kit.NAME}:copied")
    assert 'asof_predictions_total{code="ok"}' in httpx.get(f"{served.address}/metrics").text
    (copied / "src" / "service.py").write_text("raise SystemExit('no luck today')")
    with pytest.raises(ConfigurationError, match=r"(?s)stopped while starting.*no luck today"):
        deploy(served.settings, f"{kit.NAME}:copied")
    with pytest.raises(ConfigurationError, match="There is no Bento"):
        deploy(served.settings, "nobody:latest")
    assert (read_traffic(served.folder), served.bento) == (before, bento)
    assert [slot for slot in SLOTS if background.is_left(slot, served.folder)] == [before.slot if before else ""]


def test_a_killed_backend_is_a_503_problem_and_another_deployment_mends_it(served: Stack) -> None:
    bento, traffic = served.bento, read_traffic(served.folder)
    assert traffic
    background.end(traffic.slot, served.folder)
    answer = httpx.post(f"{served.address}/predict", content=QUESTION, headers=JSON | {"X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] == "mine"
    assert standing(served.settings) is None
    assert deploy(served.settings, bento).created
    assert served.bento == bento


def test_a_killed_front_door_is_started_again_on_its_port_before_the_backend_that_still_runs(served: Stack) -> None:
    bento, front = served.bento, background.find(FRONT, served.folder)
    assert front
    os.kill(front.pid, 9)
    with pytest.raises(httpx.TransportError):
        _ = served.bento
    done = deploy(served.settings, bento)
    assert (done.created, done.address, served.bento) == (False, served.address, bento)
