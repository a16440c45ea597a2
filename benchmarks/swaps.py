"""Seconds from a promotion to the first answer of the promoted version, under load, for each way to go live.

Two ways, in one run, on the same models and with the same eight clients: a service that follows the registry, and, as
the peer, what BentoML alone offers: the new Bento after the old one.
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
from training.release.gate.criteria import Criterion
from training.release.promotion.promote import promote
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion

CLIENTS = 8
ROUNDS = 3
WAIT = 120.0
GIVEN = Criterion("given", True, {}, "a benchmark of what comes after the gate")


@dataclass
class Answers:
    """What the clients saw: when an answer came, its status (0: none came) and its version."""

    seen: list[tuple[float, int, str | None]] = field(default_factory=list)

    def first(self, version: str, since: float) -> float:
        """Seconds from `since` to the first answer of the version."""
        while time.monotonic() < since + WAIT:
            if times := [at for at, _, told in self.seen if told == version and at >= since]:
                return times[0] - since
            time.sleep(0.01)
        raise TimeoutError(f"version {version} did not answer within {WAIT:g} s")

    def failed(self, since: float) -> int:
        """Requests since then that got no prediction."""
        return sum(status != 200 for at, status, _ in self.seen if at >= since)


def measure_swaps(settings: Settings) -> list[dict[str, Any]]:
    """One row for each way: median seconds, failed requests of all rounds, and the ratio to the peer's seconds."""
    with TemporaryDirectory() as name:
        own = settings.model_copy(update={"home": Path(name)})
        os.environ["BENTOML_HOME"] = str(Path(name) / "bentoml")
        export(own)
        problem = load("breast_cancer")
        versions = _versions(own, problem)
        rows = [way(own, problem, versions) for way in (_following, _after)]
    peer = rows[-1]["seconds to the first answer"]
    return [row | {"of the peer's seconds": round(row["seconds to the first answer"] / peer, 2)} for row in rows]


def _versions(settings: Settings, problem: UseCase) -> list[ModelVersion]:
    training_set = build_training_set(settings, problem, newest_labelled(settings, problem))
    fitted = [train(settings, problem, training_set, random_state=seed) for seed in range(ROUNDS + 1)]
    return [register(settings, evaluate(settings, each)) for each in fitted]


def _following(settings: Settings, problem: UseCase, versions: list[ModelVersion]) -> dict[str, Any]:
    _promote(settings, versions[0])
    with ExitStack() as stack:
        update = {"follow": "production", "registry_url": SecretStr(stack.enter_context(_mlflow(settings)))}
        tag = bundle(settings, problem).bento_tag
        address = stack.enter_context(serving(settings.model_copy(update=update), tag))
        answers = stack.enter_context(_clients(address, problem))
        return _rounds("a service that follows", answers, versions, lambda version: _promote(settings, version))


def _after(settings: Settings, problem: UseCase, versions: list[ModelVersion]) -> dict[str, Any]:
    port = next(iter(free_ports(settings.host, settings.port, "the service")))
    fixed, stack = settings.model_copy(update={"port": port}), ExitStack()

    def go(version: ModelVersion) -> None:
        _promote(settings, version)
        tag = bundle(settings, problem).bento_tag
        stack.close()
        stack.enter_context(serving(fixed, tag))

    _promote(settings, versions[0])
    with stack:
        address = stack.enter_context(serving(fixed, bundle(settings, problem).bento_tag))
        with _clients(address, problem) as answers:
            return _rounds("a new Bento after the old one (BentoML alone)", answers, versions, go)


def _rounds(
    way: str, answers: Answers, versions: list[ModelVersion], go: Callable[[ModelVersion], None]
) -> dict[str, Any]:
    answers.first(versions[0].version, time.monotonic())
    begun, seconds = time.monotonic(), []
    for version in versions[1:]:
        since = time.monotonic()
        go(version)
        seconds.append(answers.first(version.version, since))
    return {
        "way": way,
        "clients": CLIENTS,
        "promotions": len(seconds),
        "seconds to the first answer": round(statistics.median(seconds), 2),
        "slowest": round(max(seconds), 2),
        "requests": sum(at >= begun for at, _, _ in answers.seen),
        "failed": answers.failed(begun),
    }


def _promote(settings: Settings, version: ModelVersion) -> None:
    promote(settings, version, judge=lambda _: [GIVEN])


@contextmanager
def _mlflow(settings: Settings) -> Iterator[str]:
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
def _clients(address: str, problem: UseCase) -> Iterator[Answers]:
    """Eight clients that ask without a pause, from a thread of their own, until the block ends."""
    answers, stop = Answers(), threading.Event()
    body = next(question.body for question in problem.questions(None) if question.status == 200)

    async def ask(session: aiohttp.ClientSession) -> None:
        while not stop.is_set():
            try:
                async with session.post(f"{address}/predict", data=body) as answer:
                    told = await answer.json(content_type=None)
                    answers.seen.append((time.monotonic(), answer.status, told.get("model", {}).get("version")))
            except aiohttp.ClientError:
                answers.seen.append((time.monotonic(), 0, None))
                await asyncio.sleep(0.05)

    async def ask_all() -> None:
        headers = {"Content-Type": "application/json"}
        async with aiohttp.ClientSession(headers=headers) as session:
            await asyncio.gather(*(ask(session) for _ in range(CLIENTS)))

    thread = threading.Thread(target=lambda: asyncio.run(ask_all()))
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()
