"""A peer, and how it is started: in a session of its own, until its first right answer, and ended with all below."""

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

from benchmarks.serving.usage import is_alive
from benchmarks.serving.world import World

START_SECONDS = 120


@dataclass(frozen=True)
class Started:
    """URLs in the order in which a client asks them, the first processes, seconds to the first answer."""

    urls: tuple[str, ...]
    roots: tuple[int, ...]
    seconds: float = 0.0


@dataclass(frozen=True)
class Peer:
    """What is measured. `kind` is usual, part, guide, ceiling or asof.

    `start(world, folder)` starts it, with its logs in the folder, and need not wait until it answers. `forms` are those
    of the requests to each of its URLs. `model` is whose probabilities it must give, and `probability` reads one out of
    an answer; without it the peer has no model.
    """

    name: str
    title: str
    kind: str
    start: Callable[[World, Path], AbstractContextManager[Started]]
    forms: tuple[str, ...] = ("user",)
    model: str = ""
    probability: Callable[[Any], float] | None = None


@contextmanager
def started(peer: Peer, world: World) -> Iterator[Started]:
    """The peer once each of its URLs has answered 200 to a request; it ends with the block.

    Raises TimeoutError where it does not come up, AssertionError where it gives another probability than its model.
    """
    begun = monotonic()
    with TemporaryDirectory(prefix="asof-bench-") as name, peer.start(world, Path(name)) as running:
        try:
            for url, form in zip(running.urls, peer.forms, strict=True):
                _wait_for_answer(url, world.first(form, 1)[0], running.roots)
        except TimeoutError as error:
            raise TimeoutError(f"{error} {_log_ends(Path(name))}") from error
        seconds = round(monotonic() - begun, 2)
        _check(peer, world, running.urls[-1])
        yield replace(running, seconds=seconds)


def _wait_for_answer(url: str, body: bytes, roots: tuple[int, ...]) -> None:
    until = monotonic() + START_SECONDS
    while (answer := ask(url, body))[0] != http.HTTPStatus.OK:
        if monotonic() > until or not all(map(is_alive, roots)):
            raise TimeoutError(f"{url} does not come up; last answer {answer[0]}: {answer[1][:500]!r}.")
        sleep(0.02)


def _log_ends(folder: Path) -> str:
    return "\n".join(f"{log.name} ends: {log.read_text(errors='replace')[-1000:]}" for log in folder.rglob("*.log"))


def _check(peer: Peer, world: World, url: str) -> None:
    """What it answers must be right before it is worth measuring."""
    if peer.probability is None:
        return
    expected = world.expected[peer.model]
    for body, probability in zip(world.first(peer.forms[-1], len(expected)), expected, strict=True):
        status, answer = ask(url, body)
        if status != http.HTTPStatus.OK or abs(peer.probability(json.loads(answer)) - probability) > 1e-6:
            raise AssertionError(f"{peer.title} answers {answer!r} (status {status}), its model {probability}.")


def ask(url: str, body: bytes) -> tuple[int, bytes]:
    """One POST; status 0 where nobody answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error).encode()
    finally:
        connection.close()
