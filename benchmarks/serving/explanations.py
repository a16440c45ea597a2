"""What an explanation costs: explained and plain answers of the same users, in turns, by one client.

Each model's service has one worker. Ratios are those of the medians.
"""

import json
import os
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import httpx

from asof.settings import Settings
from benchmarks.serving.setup.peer import Peer, Started, started
from benchmarks.serving.setup.starting import bento
from benchmarks.serving.setup.world import DEFAULT, FOREST, World, prepared
from benchmarks.usage import cpu_seconds

ROUNDS = {DEFAULT: 1000, FOREST: 60}
WARM_UP = 20
SECONDS = 60.0
"""The budget of an explanation: more than any takes, on a busy machine too."""

Row = dict[str, Any]


def measure_explanations(settings: Settings, progress: Callable[[str], None]) -> Iterator[Row]:
    """One row for each model."""
    with TemporaryDirectory() as name:
        progress("users, features and both models")
        world = prepared(settings, Path(name), variants=("forest-one", "default"))
        os.environ["BENTOML_HOME"] = world.environment()["BENTOML_HOME"]  # where local.stack.services looks for a Bento
        for model in (DEFAULT, FOREST):
            progress(f"{model} model")
            peer = Peer(model, model, "asof", bento(model, explain_seconds=SECONDS), model=model)
            with started(peer, world) as running, httpx.Client(timeout=SECONDS) as client:
                yield _row(model, running, client, world)


def _row(model: str, running: Started, client: httpx.Client, world: World) -> Row:
    times: dict[bool, list[float]] = {False: [], True: []}
    spent = dict.fromkeys(times, 0.0)
    space, users = "", [json.loads(line) for line in world.first("user", 1000)]
    for number in range(WARM_UP + ROUNDS[model]):
        user = users[number % len(users)]
        for explain in times:
            cpu, begun = cpu_seconds(running.roots), perf_counter()
            response = client.post(running.urls[0], json={**user, "explain": explain})
            seconds = perf_counter() - begun
            if response.status_code == 200 and number >= WARM_UP:
                times[explain].append(seconds)
                spent[explain] += cpu_seconds(running.roots) - cpu
                space = response.json()["explanation"]["space"] if explain else space
    plain, explained = (statistics.median(times[each]) for each in (False, True))
    return {
        "model": model,
        "explained, of plain": round(explained / plain, 2),
        "CPU of plain": round(spent[True] / spent[False], 2),
        "plain ms": round(plain * 1000, 2),
        "explained ms": round(explained * 1000, 2),
        "space": space,
        "answers": len(times[True]),
    }
