"""kill -9 of promoting and serving processes, at each step and at random moments: after one rerun all agree."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from asof.settings import Settings
from asof.use_cases import load
from tests.kits.machine.kill import Bring, begun
from tests.kits.service import following as follow
from tests.kits.service import serving as kit
from tests.kits.service.following import Faults, Variant
from training.release.promotion.history_report import report_history
from training.tracking.client import open_tracking

if TYPE_CHECKING:
    from tests.kits.service.small_model import SmallModel


@dataclass(frozen=True)
class Service:
    """A following service of two workers, its registry, and three good versions; `seeds` makes more."""

    settings: Settings
    client: httpx.Client
    log: Path
    faults: Faults
    versions: tuple[str, ...]

    def agrees(self, version: str, *, in_a_row: int = 6) -> None:
        """Registry, history and every answer name the version, and the chain is whole."""
        report = report_history(self.settings, load("churn"))
        assert (report.findings, report.mlflow, report.entries[-1].version) == ((), "", version)
        told = open_tracking(self.settings).get_model_version_by_alias(kit.NAME, "production")
        assert (str(told.version), told.current_stage) == (version, "Production")
        follow.wait_for(self.client, version, self.log, in_a_row=in_a_row, seconds=60)


@pytest.fixture(scope="module")
def service(
    settings: Settings, small_model: "SmallModel", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    kit.write_users(settings, {"good": kit.USER}, kit.NOW)
    made = [follow.publish(settings, small_model.contract, Variant(seed)) for seed in (41, 42, 43)]
    follow.promote(settings, made[0])
    folder = tmp_path_factory.mktemp("service")
    with (
        follow.mlflow_server(settings, tmp_path_factory.mktemp("mlflow")) as server,
        follow.faulty(server.address) as faults,
    ):
        variables = {
            "ASOF_FOLLOW": "production",
            "ASOF_FOLLOW_SECONDS": "0.2",
            "ASOF_REGISTRY_URL": faults.address,
            "ASOF_WORKERS": "2",
            "ASOF_CLOCK": kit.NOW.isoformat(),
        }
        with kit.serving(settings, small_model.bundle.bento_tag, folder, **variables) as client:
            kit.eventually(lambda: client.get("/readyz").status_code == 200, 60, folder / "log")
            kit.eventually(lambda: len(follow.workers(folder / "log")) == 2, 60, folder / "log")
            yield Service(settings, client, folder / "log", faults, tuple(each.version for each in made))


def kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("chosen", [slice(1, 4, 2), pytest.param(slice(None), marks=pytest.mark.soak)], ids=str)
def test_workers_killed_at_each_step_of_a_fetch_return_to_the_production_version(
    service: Service, small_model: "SmallModel", chosen: slice
) -> None:
    """At the manifest, the first and the last file; and shortly afterwards, during loading and swapping."""
    files = len(_files_of(service, small_model, seed=50))
    for step in (0, 1, files - 1, files, files + 2)[chosen]:
        new = follow.publish(service.settings, small_model.contract, Variant(seed=51 + step))
        calls, died = count(), []

        def fault(path: str, step: int = step, calls: "count[int]" = calls, died: list[int] = died) -> None:
            if "artifacts/files" not in path or died:
                return
            number = next(calls)
            if number == min(step, files - 1):
                time.sleep(0.05 * max(0, step - files + 1))
                died.extend(follow.workers(service.log))
                kill(died)

        service.faults.fault = fault
        follow.promote(service.settings, new)
        kit.eventually(lambda died=died: len(died) == 2, 30, service.log)
        service.agrees(new.version)
    service.faults.release()
    kit.eventually(lambda: len(follow.workers(service.log)) == 2, 60, service.log)


def _files_of(service: Service, small_model: "SmallModel", seed: int) -> list[str]:
    """The requests of one worker for a version: the manifest and each of its files."""
    service.faults.asked.clear()
    new = follow.publish(service.settings, small_model.contract, Variant(seed=seed))
    follow.promote(service.settings, new)
    service.agrees(new.version)
    return [path for path in service.faults.asked if "artifacts/files" in path]


@pytest.mark.parametrize(("moments", "deaths"), [(3, 3), pytest.param(50, 10, marks=pytest.mark.soak)])
def test_killed_at_random_moments_registry_history_and_service_agree_after_one_rerun(
    service: Service, moments: int, deaths: int
) -> None:
    """A worker of the service is killed at some of the moments, too."""
    draw, half_done = random.Random(7), 0
    for moment in range(moments):
        version, other = service.versions[moment % 3], service.versions[(moment + 1) % 3]
        with begun(service.settings, [Bring(other), Bring(version)] * 20) as (_, pipe):
            for _ in range(draw.randrange(1, 12)):
                pipe.recv()
            time.sleep(draw.uniform(0, 0.05))
        if moment % deaths == deaths - 1:
            kill(draw.sample(follow.workers(service.log), 1))
        half_done += bool(report_history(service.settings, load("churn")).mlflow)
        Bring(version)(service.settings)
        service.agrees(version)
    assert half_done >= moments // 10  # else the moments say nothing
    service.agrees(version, in_a_row=12)
