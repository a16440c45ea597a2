"""The Open Inference Protocol and MLflow's protocol beside /predict: one service of the default model, in turns.

Single rows are requests a second in a closed loop, many rows users a second of one client. Ratios are those of the
medians over the rounds to /predict and /predict/batch.
"""

import http.client
import json
import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from asof.settings import Settings
from asof.use_cases import load
from benchmarks.serving.measuring.driven import closed
from benchmarks.serving.setup.catalogue import catalogue
from benchmarks.serving.setup.peer import Started, started
from benchmarks.serving.setup.world import World, prepared

SINGLE, MANY = "/predict", "/predict/batch"
INFER, INVOCATIONS = f"/v2/models/{load('churn').model_name}/infer", "/invocations"
USERS, CLIENTS, WINDOW = 10_000, (1, 32), (0.5, 2.0)
ROUNDS, QUICK_ROUNDS = 5, 1

Row = dict[str, Any]


def infer_body(users: list[str]) -> Any:
    return {"inputs": [{"name": "user_id", "datatype": "BYTES", "shape": [len(users)], "data": users}]}


def invocations_body(users: list[str]) -> Any:
    return {"dataframe_split": {"columns": ["user_id"], "data": [[user] for user in users]}}


BODIES: Mapping[str, Callable[[list[str]], Any]] = {INFER: infer_body, INVOCATIONS: invocations_body}


def measure_protocols(settings: Settings, progress: Callable[[str], None], *, rounds: int) -> Iterator[Row]:
    """A row for each path and number of clients, and for each path of many rows."""
    with TemporaryDirectory() as name:
        progress("users, features and the model")
        world = prepared(settings, Path(name), users=USERS, variants=("forest-one", "default"))
        os.environ["BENTOML_HOME"] = world.environment()["BENTOML_HOME"]  # where local.stack.services looks for a Bento
        users = [json.loads(line)["user_id"] for line in world.first("user", USERS)]
        files = {path: _file(Path(name) / f"{number}.jsonl", path, users) for number, path in enumerate(BODIES)}
        world = replace(world, requests={**world.requests, **files})
        peer = catalogue()["asof-default"]
        with started(peer, world) as running:
            for clients in CLIENTS:
                progress(f"single rows, {clients} clients")
                yield from _rows(f"one row, {clients} clients", SINGLE, _single(running, world, clients, rounds))
            progress("many rows")
            yield from _rows(f"{len(users)} rows", MANY, _many(running, users, rounds))


def _file(file: Path, path: str, users: list[str]) -> str:
    file.write_text("\n".join(json.dumps(BODIES[path]([user])) for user in users))
    return str(file)


def _single(running: Started, world: World, clients: int, rounds: int) -> Mapping[str, list[float]]:
    base = running.urls[0].removesuffix(SINGLE)
    peer, rates = catalogue()["asof-default"], {path: list[float]() for path in (SINGLE, *BODIES)}
    for _ in range(rounds):
        for path, each in rates.items():
            form = peer.forms[0] if path == SINGLE else path
            at = replace(running, urls=(base + path,))
            each.append(closed(replace(peer, forms=(form,)), at, world, clients, WINDOW)["requests_per_second"])
    return rates


def _many(running: Started, users: list[str], rounds: int) -> Mapping[str, list[float]]:
    bodies = {MANY: {"instances": [{"user_id": user} for user in users]}}
    bodies |= {path: make(users) for path, make in BODIES.items()}
    texts = {path: json.dumps(body).encode() for path, body in bodies.items()}
    rates = {path: list[float]() for path in texts}
    for _ in range(rounds + 1):  # the first is a warm-up
        for path, text in texts.items():
            rates[path].append(len(users) / _post(running.urls[0].removesuffix(SINGLE) + path, text))
    return {path: each[1:] for path, each in rates.items()}


def _post(url: str, body: bytes) -> float:
    """Seconds to the last byte. Raises OSError unless it is a 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        begun = perf_counter()
        connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        if response.status != http.HTTPStatus.OK:
            raise OSError(f"{parts.path} answers {response.status}")
        return perf_counter() - begun
    finally:
        connection.close()


def _rows(what: str, ours: str, rates: Mapping[str, list[float]]) -> Iterator[Row]:
    medians = {path: statistics.median(each) for path, each in rates.items()}
    for path, rate in medians.items():
        yield {"what": what, "path": path, f"of {SINGLE}": round(rate / medians[ours], 2), "a second": round(rate)}
