"""Starts peers: Python modules as servers, and our Bento."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.environments.redis_store import redis_server
from benchmarks.offline.stages import LAST
from benchmarks.serving.setup.peer import Started
from benchmarks.serving.setup.world import OWN_STORE, World
from local.ports import any_free_port
from local.stack import background
from local.stack.background import Service
from local.stack.services import prediction_service

REDIS = "redis"
"""The folder of its dump."""

Start = Callable[[World, Path], AbstractContextManager[Started]]


@dataclass(frozen=True)
class Server:
    """A Python module with its arguments (host and port are added), and the path of requests."""

    module: str
    arguments: tuple[str, ...]
    path: str = "/predict"
    environment: Mapping[str, str] = field(default_factory=dict)


def servers(*makes: Callable[[World], Server]) -> Start:
    """Starts them all at once."""

    @contextmanager
    def start(world: World, folder: Path) -> Iterator[Started]:
        host = world.settings.host
        names = [f"peer{place}" for place in range(len(makes))]
        try:
            running = []
            for name, server in zip(names, (make(world) for make in makes), strict=True):
                environment = {**world.environment(), **server.environment}
                service = Service(name, name, server.module, server.arguments, 0, server.path, environment)
                process = background.launch(service, folder, (host, any_free_port(host)))
                running.append((process.address + server.path, process.pid))
            yield Started(tuple(url for url, _ in running), tuple(pid for _, pid in running))
        finally:
            for name in names:
                background.end(name, folder)

    return start


def fill_redis(world: World) -> None:
    """Leaves a dump for `beside_redis`."""
    with redis_server(world.settings, world.folder / REDIS):
        pass


def beside_redis(start: Start) -> Start:
    """With a Redis that has the features of the world; its process counts as one of the peer's."""

    @contextmanager
    def start_both(world: World, folder: Path) -> Iterator[Started]:
        with (
            redis_server(world.settings, world.folder / REDIS) as redis,
            start(replace(world, redis=redis.address), folder) as running,
        ):
            yield replace(running, roots=(*running.roots, redis.pid))

    return start_both


def bento(model: str, *, workers: int = 1, store: str = OWN_STORE, **ledger: Any) -> Start:
    """Our own service as `local.stack.serve` starts it, with that type of online store and settings of the ledger."""

    @contextmanager
    def start(world: World, folder: Path) -> Iterator[Started]:
        clock = datetime(LAST.year, LAST.month, LAST.day, tzinfo=UTC)  # the newest month, whose features are not stale
        changes = {"clock": clock, "workers": workers, "online_store": store, "ledger": "off", **ledger}
        settings = world.settings.model_copy(update=changes)
        service, host = prediction_service(settings, world.bentos[model]), settings.host
        running = background.launch(service, folder, (host, any_free_port(host)))
        try:
            yield Started((f"{running.address}/predict",), (running.pid,))
        finally:
            background.end(service.name, folder)

    return start
