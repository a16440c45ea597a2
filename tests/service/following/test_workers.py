"""A following service of two workers: they agree on one version, also after kill -9 at any moment."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import pytest

from asof.settings import Settings
from asof.use_cases import load
from tests.kits.machine.kill import Bring, begun
from tests.kits.service import following as follow
from tests.kits.service import serving as kit
from tests.kits.service.following import Faults, Variant
from tests.kits.service.small_model import SmallModel
from training.release.promotion.history_report import report_history
from training.release.registry.versions import ModelVersion
from training.tracking.client import open_tracking

AGREE = 12
"""Consecutive answers over separate connections: the chance that one of two workers gives them all is 1 in 4096."""


@dataclass(frozen=True)
class Service:
    """The service, its registry, and three good versions, of which the first is in production when it starts."""

    settings: Settings
    small_model: SmallModel
    client: httpx.Client
    log: Path
    faults: Faults
    versions: tuple[ModelVersion, ...]

    def publish(self, variant: Variant) -> ModelVersion:
        return follow.publish(self.settings, self.small_model.contract, variant)

    def promote(self, version: ModelVersion) -> None:
        follow.promote(self.settings, version)

    def wait_for(self, version: ModelVersion) -> None:
        """Waits until both workers answer with the version."""
        follow.wait_for(self.client, version.version, self.log, in_a_row=AGREE, seconds=60)

    def serve_both(self, version: ModelVersion) -> None:
        """Waits until both workers report that they serve the version."""
        series = f'asof_serving_workers{{version="{version.version}"}}'
        kit.eventually(lambda: follow.metric(self.client, series) == 2, 60, self.log)

    def agrees(self, version: str, *, in_a_row: int = 6) -> None:
        """Registry, history and every answer name the version, and the history is unbroken."""
        report = report_history(self.settings, load("churn"))
        assert (report.findings, report.mlflow, report.entries[-1].version) == ((), "", version)
        registered = open_tracking(self.settings).get_model_version_by_alias(kit.NAME, "production")
        assert (str(registered.version), registered.current_stage) == (version, "Production")
        follow.wait_for(self.client, version, self.log, in_a_row=in_a_row, seconds=60)


@pytest.fixture(scope="module")
def service(settings: Settings, small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    kit.write_users(settings, {"good": kit.USER, "no-internet": {**kit.USER, **kit.WITHOUT_INTERNET}}, kit.NOW)
    good = (Variant(seed, compiled=True) for seed in (41, 42, 43))
    versions = tuple(follow.publish(settings, small_model.contract, each) for each in good)
    follow.promote(settings, versions[0])
    folder = tmp_path_factory.mktemp("service")
    with (
        follow.mlflow_server(settings, tmp_path_factory.mktemp("mlflow")) as server,
        follow.faulty(server.address) as faults,
    ):
        variables = {
            "ASOF_FOLLOW": "production",
            "ASOF_FOLLOW_SECONDS": "0.4",
            "ASOF_REGISTRY_URL": faults.address,
            "ASOF_WORKERS": "2",
            "ASOF_CLOCK": kit.NOW.isoformat(),
        }
        with kit.serving(settings, small_model.bundle.bento_tag, folder, **variables) as client:
            kit.eventually(lambda: len(follow.workers(folder / "log")) == 2, 60, folder / "log")
            yield Service(settings, small_model, client, folder / "log", faults, versions)


def test_two_workers_agree_through_promotion_refusal_reversion_and_rollback(service: Service) -> None:
    first, second, _ = service.versions
    unsigned = service.publish(Variant(seed=23, sealed=False))
    breaking = service.publish(Variant(seed=24, unknown="error"))
    service.serve_both(first)
    service.wait_for(first)
    service.faults.asked.clear()
    with follow.load_on(service.client, clients=4) as load:
        service.promote(second)
        service.wait_for(second)
        fetched = [path for path in service.faults.asked if "artifacts" in path and "manifest" in path]
        assert len(fetched) == 1, "one worker fetches"

        service.promote(unsigned)
        refusal = f"Version {unsigned.version} is refused"
        kit.eventually(lambda: refusal in service.log.read_text(), 30, service.log)
        service.promote(breaking)
        service.serve_both(breaking)
        # One connection, so one worker: the other one never fails, and reverts all the same.
        with follow.load_on(service.client, clients=1, user="no-internet") as hard:
            service.serve_both(second)
        assert (hard.failed, hard.versions) == ([], {second.version})
        service.wait_for(second)
        for refused in (unsigned, breaking):
            assert service.log.read_text().count(f"Version {refused.version} is refused") == 1, "one worker for both"

        service.promote(first)
        service.wait_for(first)
    assert load.failed == []
    assert load.versions == {first.version, second.version, breaking.version}


def test_a_killed_worker_is_replaced_without_the_registry_and_answers_nothing_before_it_is_ready(
    service: Service,
) -> None:
    (first, *_), (killed, _) = service.versions, follow.workers(service.log)
    service.promote(first)
    service.wait_for(first)
    service.faults.fault = lambda path: (500, b"")
    with follow.load_on(service.client, keep_alive=False) as load:
        os.kill(killed, signal.SIGKILL)
        kit.eventually(lambda: len({*follow.workers(service.log)} - {killed}) == 2, 60, service.log)
        service.serve_both(first)
        service.wait_for(first)
    service.faults.release()
    assert {answer.status for answer in load.failed} <= {0}, "of the killed worker's own connections"
    assert load.versions - {None} == {first.version}


def kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("chosen", [slice(1, 4, 2), pytest.param(slice(None), marks=pytest.mark.soak)], ids=str)
def test_workers_killed_at_each_step_of_a_fetch_return_to_the_production_version(
    service: Service, chosen: slice
) -> None:
    """At the manifest, the first and the last file; and shortly afterwards, during loading and swapping."""
    files = len(_files_of(service, seed=50))
    for step in (0, 1, files - 1, files, files + 2)[chosen]:
        new = service.publish(Variant(seed=51 + step, compiled=True))
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
        service.promote(new)
        kit.eventually(lambda died=died: len(died) == 2, 30, service.log)
        service.agrees(new.version)
    service.faults.release()
    kit.eventually(lambda: len(follow.workers(service.log)) == 2, 60, service.log)


def _files_of(service: Service, seed: int) -> list[str]:
    """The requests of one worker for a version: the manifest and each of its files."""
    service.faults.asked.clear()
    new = service.publish(Variant(seed=seed, compiled=True))
    service.promote(new)
    service.agrees(new.version)
    return [path for path in service.faults.asked if "artifacts/files" in path]


@pytest.mark.parametrize(("moments", "deaths"), [(3, 3), pytest.param(50, 10, marks=pytest.mark.soak)])
def test_killed_at_random_moments_registry_history_and_service_agree_after_one_rerun(
    service: Service, moments: int, deaths: int
) -> None:
    """A worker of the service is killed at some of the moments, too."""
    draw, half_done = random.Random(7), 0
    for moment in range(moments):
        version, other = (service.versions[(moment + ahead) % 3].version for ahead in (0, 1))
        with begun(service.settings, [Bring(other), Bring(version)] * 20) as (_, pipe):
            for _ in range(draw.randrange(1, 12)):
                pipe.recv()
            time.sleep(draw.uniform(0, 0.05))
        if moment % deaths == deaths - 1:
            kill(draw.sample(follow.workers(service.log), 1))
        half_done += bool(report_history(service.settings, load("churn")).mlflow)
        Bring(version)(service.settings)
        service.agrees(version)
    assert half_done >= moments // 10  # else no promotion was interrupted
    service.agrees(version, in_a_row=12)
