"""A peer, and a context in which it runs."""

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

from benchmarks.serving.setup.world import World
from benchmarks.usage import is_alive

START_TIMEOUT = 120


@dataclass(frozen=True)
class Started:
    """URLs in the order of a client's requests, first processes, and seconds to the first response."""

    urls: tuple[str, ...]
    roots: tuple[int, ...]
    seconds: float = 0.0


@dataclass(frozen=True)
class Peer:
    """`kind` is usual, part, guide, ceiling or asof.

    `start(world, folder)` starts it, with its logs in the folder, without waiting until it is ready. `forms` are those
    of the requests to its URLs. `probability` reads the prediction of `model` (empty: none) from a response. What
    `prepare` does, for instance make an environment, is not part of its start.
    """

    name: str
    title: str
    kind: str
    start: Callable[[World, Path], AbstractContextManager[Started]]
    forms: tuple[str, ...] = ("user",)
    model: str = ""
    probability: Callable[[Any], float] = itemgetter("probability")
    prepare: Callable[[World], object] = lambda _: None


@contextmanager
def started(peer: Peer, world: World) -> Iterator[Started]:
    """The peer, once each of its URLs has responded with 200.

    Raises TimeoutError if it does not start, and AssertionError if it returns other probabilities than its model.
    """
    peer.prepare(world)
    begun = monotonic()
    with TemporaryDirectory(prefix="asof-bench-") as name, peer.start(world, Path(name)) as running:
        try:
            for url, form in zip(running.urls, peer.forms, strict=True):
                _wait_for_response(url, world.first(form, 1)[0], running.roots)
        except TimeoutError as error:
            raise TimeoutError(f"{error} {_log_ends(Path(name))}") from error
        seconds = round(monotonic() - begun, 2)
        _check(peer, world, running.urls[-1])
        yield replace(running, seconds=seconds)


def _wait_for_response(url: str, body: bytes, roots: tuple[int, ...]) -> None:
    until = monotonic() + START_TIMEOUT
    while (response := post(url, body))[0] != http.HTTPStatus.OK:
        if monotonic() > until or not all(map(is_alive, roots)):
            raise TimeoutError(f"{url} does not start; last response {response[0]}: {response[1][:500]!r}.")
        sleep(0.02)


def _log_ends(folder: Path) -> str:
    return "\n".join(f"{log.name} ends: {log.read_text(errors='replace')[-1000:]}" for log in folder.rglob("*.log"))


def _check(peer: Peer, world: World, url: str) -> None:
    if not peer.model:
        return
    expected = world.expected[peer.model]
    for body, probability in zip(world.first(peer.forms[-1], len(expected)), expected, strict=True):
        status, response = post(url, body)
        if status != http.HTTPStatus.OK or abs(peer.probability(json.loads(response)) - probability) > 1e-6:
            raise AssertionError(f"{peer.title} returns {response!r} (status {status}), its model {probability}.")


def post(url: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of the response; status 0 without a response."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error).encode()
    finally:
        connection.close()
