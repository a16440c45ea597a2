"""POST /predict/batch: users a second in JSON and Arrow, beside one request for each user.

Ten thousand users a batch, one client, one worker; the single requests are from 32 clients on the same worker. Also the
latency of single requests while batches are running.
"""

import http.client
import json
import os
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from asof.settings import Settings
from benchmarks.serving.measuring.driven import closed
from benchmarks.serving.setup.catalogue import ASOF, catalogue
from benchmarks.serving.setup.peer import Peer, Started, started
from benchmarks.serving.setup.world import World, prepared
from benchmarks.usage import memory

USERS, ROUNDS = 10_000, 5
WINDOW = (1.0, 4.0)
FORMS = {"JSON": "application/json", "Arrow": "application/vnd.apache.arrow.stream"}
MODELS = (ASOF, "asof-default")

Progress = Callable[[str], None]
Row = dict[str, Any]


def measure_batches(settings: Settings, progress: Progress) -> Iterator[Row]:
    """One row for each model and form."""
    with TemporaryDirectory() as folder:
        progress("users, features and both models")
        world = prepared(settings, Path(folder), users=USERS, variants=("forest-one", "default"))
        os.environ["BENTOML_HOME"] = world.environment()["BENTOML_HOME"]  # where local.stack.services looks for a Bento
        for name in MODELS:
            peer = catalogue()[name]
            progress(peer.title)
            with started(peer, world) as running:
                yield from _of_peer(peer, running, world)


def _of_peer(peer: Peer, running: Started, world: World) -> Iterator[Row]:
    body = batch_body(world, USERS)
    one_by_one = closed(peer, running, world, 32, WINDOW)["requests_per_second"]
    alone = closed(peer, running, world, 1, WINDOW)
    for form, accept in FORMS.items():
        post_batch(running.urls[0], body, accept)  # warm-up
        rounds = [post_batch(running.urls[0], body, accept) for _ in range(ROUNDS)]
        with_batches = beside(peer, running, world, partial(post_batch, running.urls[0], body, accept))
        rate = USERS / statistics.median(seconds for seconds, _, _ in rounds)
        yield {
            "peer": peer.title,
            "form": form,
            "of one by one": round(rate / one_by_one, 1),
            "users/s": round(rate),
            "first byte, ms": round(statistics.median(first for _, first, _ in rounds) * 1000, 1),
            "answer, MB": round(rounds[0][2] / 1e6, 2),
            "/predict alone, p50 / p99 ms": f"{alone['p50_ms']:.1f} / {alone['p99_ms']:.1f}",
            "beside batches": f"{with_batches['p50_ms']:.1f} / {with_batches['p99_ms']:.1f}",
            "MiB a worker": memory(running.roots).worker,
        }


def batch_body(world: World, count: int) -> bytes:
    """The body of a batch of so many instances."""
    users = [json.loads(line) for line in world.first("user", count)]
    return json.dumps({"instances": (users * (count // len(users) + 1))[:count]}).encode()


def beside(peer: Peer, running: Started, world: World, batch: Callable[[], Any]) -> Row:
    """One client of /predict while another sends batches."""
    stop = Event()

    def many() -> None:
        while not stop.is_set():
            batch()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(many)
        try:
            return closed(peer, running, world, 1, WINDOW)
        finally:
            stop.set()


def post_batch(predict: str, body: bytes, accept: str, path: str = "/predict/batch") -> tuple[float, float, int]:
    """Seconds to the last byte and to the first, and the size of the response. Raises OSError unless it is a 200."""
    parts = urlsplit(predict)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        begun = perf_counter()
        connection.request("POST", path, body, {"Content-Type": "application/json", "Accept": accept})
        response = connection.getresponse()
        first = perf_counter() - begun
        size = sum(iter(lambda: len(response.read(2**16)), 0))
        if response.status != http.HTTPStatus.OK:
            raise OSError(f"{path} answers {response.status}")
        return perf_counter() - begun, first, size
    finally:
        connection.close()
