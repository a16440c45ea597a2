"""Seconds from a promotion to the first response of the promoted version, under load.

Two ways on the same models and with the same eight clients: a service that follows the registry, and, as the peer, what
BentoML alone offers: stopping the old Bento and starting the new one.
"""

import asyncio
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from pydantic import SecretStr

from asof.settings import Settings, export
from asof.use_case import UseCase
from asof.use_cases import load
from local.ports import free_ports
from local.stack import background
from local.stack.serve import serving
from local.stack.services import mlflow_service
from training.features.datasets.dataset import build_training_set, newest_labelled
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.bundling.bundle import bundle
from training.release.promotion.promote import promote
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion
from training.targets.rules import Criterion

CLIENTS = 8
ROUNDS = 3
RESPONSE_TIMEOUT = 120.0
PASSED = Criterion("passed", True, {}, "a benchmark of what comes after the gate")


@dataclass
class Responses:
    """Time, status (0: no response) and model version of each."""

    received: list[tuple[float, int, str | None]] = field(default_factory=list)

    def first(self, version: str, since: float) -> float:
        """Seconds from `since` to the first response of the version."""
        while time.monotonic() < since + RESPONSE_TIMEOUT:
            if times := [at for at, _, found in self.received if found == version and at >= since]:
                return times[0] - since
            time.sleep(0.01)
        raise TimeoutError(f"Version {version} did not respond within {RESPONSE_TIMEOUT:g} s")

    def failed(self, since: float) -> int:
        """Requests since then without a prediction."""
        return sum(status != 200 for at, status, _ in self.received if at >= since)


def measure_swaps(settings: Settings) -> list[dict[str, Any]]:
    """One row for each way: median seconds, failed requests, and the ratio to the peer's seconds."""
    with TemporaryDirectory() as name:
        own = settings.model_copy(update={"home": Path(name)})
        os.environ["BENTOML_HOME"] = str(Path(name) / "bentoml")
        export(own)
        use_case = load("breast_cancer")
        versions = _versions(own, use_case)
        rows = [way(own, use_case, versions) for way in (_following, _restarting)]
    peer = rows[-1]["seconds to the first answer"]
    return [row | {"of the peer's seconds": round(row["seconds to the first answer"] / peer, 2)} for row in rows]


def _versions(settings: Settings, use_case: UseCase) -> list[ModelVersion]:
    training_set = build_training_set(settings, use_case, newest_labelled(settings, use_case))
    fitted = [train(settings, use_case, training_set, random_state=seed) for seed in range(ROUNDS + 1)]
    return [register(settings, evaluate(settings, each)) for each in fitted]


def _following(settings: Settings, use_case: UseCase, versions: list[ModelVersion]) -> dict[str, Any]:
    _promote(settings, versions[0])
    with ExitStack() as stack:
        update = {"follow": "production", "registry_url": SecretStr(stack.enter_context(mlflow_server(settings)))}
        tag = bundle(settings, use_case).bento_tag
        address = stack.enter_context(serving(settings.model_copy(update=update), tag))
        responses = stack.enter_context(_clients(address, use_case))
        return _rounds("a service that follows", responses, versions, lambda version: _promote(settings, version))


def _restarting(settings: Settings, use_case: UseCase, versions: list[ModelVersion]) -> dict[str, Any]:
    port = next(iter(free_ports(settings.host, settings.port, "the service")))
    fixed, stack = settings.model_copy(update={"port": port}), ExitStack()

    def go_live(version: ModelVersion) -> None:
        _promote(settings, version)
        tag = bundle(settings, use_case).bento_tag
        stack.close()
        stack.enter_context(serving(fixed, tag))

    _promote(settings, versions[0])
    with stack:
        address = stack.enter_context(serving(fixed, bundle(settings, use_case).bento_tag))
        with _clients(address, use_case) as responses:
            return _rounds("a new Bento after the old one (BentoML alone)", responses, versions, go_live)


def _rounds(
    way: str, responses: Responses, versions: list[ModelVersion], go_live: Callable[[ModelVersion], None]
) -> dict[str, Any]:
    responses.first(versions[0].version, time.monotonic())
    begun, seconds = time.monotonic(), []
    for version in versions[1:]:
        since = time.monotonic()
        go_live(version)
        seconds.append(responses.first(version.version, since))
    return {
        "way": way,
        "clients": CLIENTS,
        "promotions": len(seconds),
        "seconds to the first answer": round(statistics.median(seconds), 2),
        "slowest": round(max(seconds), 2),
        "requests": sum(at >= begun for at, _, _ in responses.received),
        "failed": responses.failed(begun),
    }


def _promote(settings: Settings, version: ModelVersion) -> None:
    promote(settings, version, judge=lambda _: [PASSED])


@contextmanager
def mlflow_server(settings: Settings) -> Iterator[str]:
    service = mlflow_service(settings)
    assert service
    port = next(iter(free_ports(settings.host, service.port, service.title)))
    running = background.launch(service, settings.home, (settings.host, port))
    try:
        background.wait_until_healthy(service, running, settings.home)
        yield running.address
    finally:
        background.end(service.name, settings.home)


@contextmanager
def _clients(address: str, use_case: UseCase) -> Iterator[Responses]:
    """Eight clients that send requests without a pause, in a thread, until the block ends."""
    responses, stop = Responses(), threading.Event()
    body = next(question.body for question in use_case.questions(None) if question.status == 200)

    async def send(session: aiohttp.ClientSession) -> None:
        while not stop.is_set():
            try:
                async with session.post(f"{address}/predict", data=body) as response:
                    document = await response.json(content_type=None)
                    version = document.get("model", {}).get("version")
                    responses.received.append((time.monotonic(), response.status, version))
            except aiohttp.ClientError:
                responses.received.append((time.monotonic(), 0, None))
                await asyncio.sleep(0.05)

    async def send_all() -> None:
        headers = {"Content-Type": "application/json"}
        async with aiohttp.ClientSession(headers=headers) as session:
            await asyncio.gather(*(send(session) for _ in range(CLIENTS)))

    thread = threading.Thread(target=lambda: asyncio.run(send_all()))
    thread.start()
    try:
        yield responses
    finally:
        stop.set()
        thread.join()
