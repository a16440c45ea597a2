"""A swap step by step, with small servers: killed at each step, asked all the while, and refused."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import psutil
import pytest

from asof.errors import ConfigurationError
from asof.settings import PROJECT, Settings
from asof.use_cases import load
from flows.live import roll_service_back
from local import background, deploy, stack, swap
from local.background import Service
from local.deploy import Deployed, Standing, standing
from local.ports import any_free_port
from local.traffic import FRONT, SLOTS, read_traffic, traffic_file
from tests import serving_kit as kit

STEPS = {
    "the backend is started and its number is not recorded": ("background", "_spawn", "after"),
    "the backend is recorded": ("background", "launch", "after"),
    "the backend is ready": ("background", "wait_until_healthy", "after"),
    "the backend is proven": ("swap", "_prove", "after"),
    "the traffic has moved": ("swap", "switch", "after"),
    "the old one is about to be asked to end": ("background", "end", "before"),
    "the old one has ended": ("background", "end", "after"),
}


def tiny(bento: str) -> Service:
    """A backend that starts at once, in the place of `bentoml serve`."""
    return Service(
        FRONT, "the tiny backend", "tests.tiny_backend", (bento,), 0, "/readyz", {"PYTHONPATH": str(PROJECT)}
    )


def deploy_tiny(settings: Settings, bento: str) -> Deployed:
    """`local.deploy.deploy`, but what it starts is tiny."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy, "prediction_service", lambda _, bento: tiny(bento))
        return deploy.deploy(settings, bento)


def kill_at(module: str, function: str, when: str) -> None:
    """From now on this process is killed before or after its next call of the function."""
    place = {"background": background, "swap": swap}[module]
    kept = getattr(place, function)

    def killed(*given: object, **named: object) -> None:
        if when == "after":
            kept(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(place, function, killed)


def in_a_process(settings: Settings, bento: str, *step: str) -> "subprocess.Popen[bytes]":
    code = (
        "import sys; from pathlib import Path; from asof.settings import Settings;"
        "from tests.integration import test_swap_steps as kit;"
        "home, port, bento, *step = sys.argv[1:];"
        "step and kit.kill_at(*step);"
        "kit.deploy_tiny(Settings(home=Path(home), port=int(port)), bento)"
    )
    words = (str(settings.home), str(settings.port), bento, *step)
    return subprocess.Popen([sys.executable, "-c", code, *words], cwd=PROJECT, stderr=subprocess.DEVNULL)


class Callers:
    """One caller who never stops asking, and what went wrong."""

    def __init__(self, address: str) -> None:
        self.address, self.bentos, self.failures = address, set[str](), list[str]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        with httpx.Client(base_url=self.address, timeout=20) as client:
            while not self._stop.is_set():
                try:
                    self.bentos.add(client.get("/model").raise_for_status().json()["bento"])
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))

    def __enter__(self) -> "Callers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), port=any_free_port("127.0.0.1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(settings.home / "bentoml"))
        deploy_tiny(settings, "tiny:old")
        yield settings
    for name in (FRONT, *SLOTS):
        background.end(name, stack.run_folder(settings))


def bento_at(settings: Settings) -> str:
    """The Bento that answers at the front door."""
    told = httpx.get(f"http://127.0.0.1:{settings.port}/model").json()
    return str(told["bento"])


def backends(settings: Settings) -> int:
    """How many backends run, recorded or not."""
    found = 0
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        found += environment.get("BENTOML_HOME", "").startswith(f"{stack.run_folder(settings)}/")
    return found


def assert_a_rerun_finishes(settings: Settings, bento: str) -> None:
    done = deploy_tiny(settings, bento)
    assert bento_at(settings) == bento
    assert done.address == f"http://127.0.0.1:{settings.port}"
    assert backends(settings) == 1


@pytest.mark.parametrize("step", STEPS)
def test_killed_when(settings: Settings, step: str) -> None:
    old, new = "tiny:old", f"tiny:{list(STEPS).index(step)}"
    deploy_tiny(settings, old)
    with Callers(f"http://127.0.0.1:{settings.port}") as callers:
        assert in_a_process(settings, new, *STEPS[step]).wait(60) == -signal.SIGKILL
        assert_a_rerun_finishes(settings, new)
    assert callers.failures == []
    assert callers.bentos == {old, new}


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_a_random_moment(settings: Settings, seed: int) -> None:
    deploy_tiny(settings, "tiny:old")
    with Callers(f"http://127.0.0.1:{settings.port}") as callers:
        process = in_a_process(settings, f"tiny:{seed}")
        time.sleep(random.Random(seed).uniform(0.5, 2.5))
        process.kill()
        process.wait()
        assert_a_rerun_finishes(settings, f"tiny:{seed}")
    assert callers.failures == []


def test_the_old_one_is_not_told_to_end_while_a_request_is_on_its_way_to_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy_tiny(settings, "tiny:old")
    folder, told = stack.run_folder(settings), threading.Event()
    traffic = read_traffic(folder)
    old = background.find(traffic.slot, folder) if traffic else None
    assert old
    end = background.end
    monkeypatch.setattr(background, "end", lambda name, folder: told.set() or end(name, folder))
    with httpx.Client(base_url=f"http://127.0.0.1:{settings.port}") as client, ThreadPoolExecutor(1) as pool:
        with client.stream("GET", "/stream") as answer:
            pieces = answer.iter_raw()
            assert next(pieces) == b"first"
            deployed = pool.submit(deploy_tiny, settings, "tiny:new")
            kit.eventually(lambda: bento_at(settings) == "tiny:new", 20, background.log_file(FRONT, folder))
            assert not told.wait(1)
            httpx.get(f"{old.address}/release")
            assert b"".join(pieces) == b"last"
        assert deployed.result(10).previous == "tiny:old"
        assert told.is_set()


def test_what_a_killed_swap_left_is_ended_at_once_where_nobody_asks_anything(settings: Settings) -> None:
    deploy_tiny(settings, "tiny:old")
    in_a_process(settings, "tiny:new", *STEPS["the traffic has moved"]).wait(60)
    begun = time.monotonic()
    assert_a_rerun_finishes(settings, "tiny:new")
    assert time.monotonic() - begun < swap.ANSWER_SECONDS / 2


def test_down_after_a_kill_leaves_nothing(settings: Settings) -> None:
    deploy_tiny(settings, "tiny:old")
    in_a_process(settings, "tiny:new", *STEPS["the backend is recorded"]).wait(60)
    assert backends(settings) == 2
    assert stack.down(settings)[0] == FRONT
    assert backends(settings) == 0
    assert_a_rerun_finishes(settings, "tiny:new")


def test_a_service_that_follows_the_registry_needs_no_deployment_after_a_rollback(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASOF_FOLLOW", "production")
    deploy_tiny(settings, "streamflow_churn:follows")
    assert standing(settings) == Standing("streamflow_churn:follows", follows=True)
    assert roll_service_back(settings, load("churn"), "1") == {"service": "follows the registry by itself"}


def test_a_backend_that_has_not_answered_its_golden_rows_gets_no_traffic(settings: Settings) -> None:
    deploy_tiny(settings, "tiny:old")
    with pytest.raises(ConfigurationError, match="tiny:unproven has not answered its golden rows"):
        deploy_tiny(settings, "tiny:unproven")
    assert backends(settings) == 1
    assert_a_rerun_finishes(settings, "tiny:old")


def test_an_empty_traffic_file_as_after_a_power_failure_is_no_obstacle(settings: Settings) -> None:
    traffic_file(stack.run_folder(settings)).write_text("")
    assert_a_rerun_finishes(settings, "tiny:old")


def test_a_backend_that_asks_for_a_key_gets_traffic_only_where_it_was_given_keys(settings: Settings) -> None:
    deploy_tiny(settings, "tiny:1")
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        deploy_tiny(settings, "tiny:guarded")
    assert bento_at(settings) == "tiny:1"
    given = replace(tiny("tiny:guarded"), environment={**tiny("tiny:guarded").environment, "ASOF_API_KEYS": "keys"})
    with stack.locked(settings) as folder:
        candidate = swap.begin(given, folder)
        swap.give_traffic(candidate, folder)
        swap.end_old(candidate, folder)
    assert read_traffic(stack.run_folder(settings)).bento == "tiny:guarded"  # type: ignore[union-attr]
