"""One load on one started peer -> what its clients saw, and the CPU that peer and PostgreSQL took for it."""

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.processes import run_json
from benchmarks.serving.peer import Peer, Started
from benchmarks.serving.usage import cpu_seconds, postgres_roots
from benchmarks.serving.world import World

GRACE = 20.0
"""Seconds that answers are waited for after the end; a queue of 128 before nine answers a second takes 14."""

CONNECTIONS = 1024
"""Of an open loop: more than a service should ever let in."""


def closed(peer: Peer, running: Started, world: World, clients: int, window: tuple[float, float]) -> dict[str, Any]:
    """A closed loop of that many clients; `window`: seconds to warm up, not counted, and seconds counted."""
    warm_up, seconds = window
    plan = {"urls": running.urls, "clients": clients, "seconds": seconds, "warm_up": warm_up, "grace": GRACE}
    return _driven(peer, running, world, {"closed": plan})


def opened(
    peer: Peer, running: Started, world: World, phases: list[tuple[float, float]], grace: float = GRACE
) -> dict[str, Any]:
    """An open loop through phases of (requests a second, seconds)."""
    plan = {"url": running.urls[0], "phases": phases, "connections": CONNECTIONS, "grace": grace}
    return _driven(peer, running, world, {"open": plan})


def _driven(peer: Peer, running: Started, world: World, plan: Mapping[str, Any]) -> dict[str, Any]:
    """CPU seconds are those of the whole load, warm-up included, for a thousand of its requests."""
    database = postgres_roots()
    before = cpu_seconds(running.roots), cpu_seconds(database)
    told = json.dumps({"bodies": world.requests[peer.forms[0]], **plan})
    result = run_json({}, "benchmarks.serving.load", told)
    spent = cpu_seconds(running.roots) - before[0], cpu_seconds(database) - before[1]
    thousands = max(1, result["requests_with_warm_up"]) / 1000
    return {
        **result,
        "cpu_s_per_1000": round(spent[0] / thousands, 3),
        "postgres_cpu_s_per_1000": round(spent[1] / thousands, 3) if database else None,
    }
