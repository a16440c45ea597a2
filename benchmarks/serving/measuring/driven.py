"""Runs a load on a started peer; the result includes the CPU time of the peer and of PostgreSQL."""

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.processes import run_json
from benchmarks.serving.setup.peer import Peer, Started
from benchmarks.serving.setup.world import World
from benchmarks.usage import cpu_seconds, postgres_roots

GRACE = 20.0
"""Seconds to wait for the last responses: a queue of 128 at nine responses a second takes 14."""

CONNECTIONS = 1024
"""Of an open loop: more than a service should ever accept."""


def closed(peer: Peer, running: Started, world: World, clients: int, window: tuple[float, float]) -> dict[str, Any]:
    """A closed loop; `window` is seconds of warm-up, which are not counted, and seconds of measurement."""
    warm_up, seconds = window
    plan = {"urls": running.urls, "clients": clients, "seconds": seconds, "warm_up": warm_up, "grace": GRACE}
    return _run(peer, running, world, {"closed": plan})


def opened(
    peer: Peer, running: Started, world: World, phases: list[tuple[float, float]], grace: float = GRACE
) -> dict[str, Any]:
    """An open loop through phases of (requests a second, seconds)."""
    plan = {"url": running.urls[0], "phases": phases, "connections": CONNECTIONS, "grace": grace}
    return _run(peer, running, world, {"open": plan})


def _run(peer: Peer, running: Started, world: World, plan: Mapping[str, Any]) -> dict[str, Any]:
    """CPU seconds are for a thousand requests of the whole load, warm-up included."""
    database = postgres_roots()
    before = cpu_seconds(running.roots), cpu_seconds(database)
    argument = json.dumps({"bodies": world.requests[peer.forms[0]], **plan})
    result = run_json({}, "benchmarks.serving.load", argument)
    spent = cpu_seconds(running.roots) - before[0], cpu_seconds(database) - before[1]
    thousands = max(1, result["requests_with_warm_up"]) / 1000
    return {
        **result,
        "cpu_s_per_1000": round(spent[0] / thousands, 3),
        "postgres_cpu_s_per_1000": round(spent[1] / thousands, 3) if database else None,
    }
