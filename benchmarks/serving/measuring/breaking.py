"""Latency under pressure: open loops at shares of the capacity, the tail over minutes, and an overload."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.serving.effort import Effort
from benchmarks.serving.measuring.driven import closed, opened
from benchmarks.serving.measuring.rounds import Row
from benchmarks.serving.setup.peer import Peer, started
from benchmarks.serving.setup.world import World
from benchmarks.usage import memory

SHARES = (0.25, 0.5, 0.75, 0.9, 1.1)
OVERLOAD = 3.0
PROBE_RATE, PROBE_SECONDS = 50.0, 12.0
CAPACITY_SHARE = 0.2
"""Seconds at the capacity, of those of the overload."""
NORMAL_FACTOR, NORMAL_SECONDS = 2.0, 3
"""Latency is normal again in so many seconds in a row with a p99 of at most so many times that of the probes before."""

TAIL_CLIENTS = 8
FROM_SENT = ("p50_ms_from_sent", "p99_ms_from_sent")
MIN_REQUESTS, MAX_STRETCH = 60, 4.0
"""A slow peer gets the time for so many requests, but at most so many times that of the others."""

WARM_UP = (0.5, 0.5)


def open_loops(peer: Peer, world: World, capacity: float, effort: Effort) -> list[Row]:
    """Latency at each share of the capacity, in requests a second."""
    with started(peer, world) as running:
        closed(peer, running, world, 1, WARM_UP)
        return [_at(peer, running, world, (share, share * capacity), effort.open_seconds) for share in SHARES]


def _at(peer: Peer, running: Any, world: World, at: tuple[float, float], seconds: float) -> Row:
    share, rate = at
    long_enough = max(seconds, min(MAX_STRETCH * seconds, MIN_REQUESTS / rate))
    result = opened(peer, running, world, [(rate, long_enough)])
    (phase,) = result.pop("phases")
    del phase["timeline"]
    return {"name": peer.name, "share": share, **result, **phase}


def tail(peer: Peer, world: World, effort: Effort) -> Row:
    """A closed loop of eight clients for minutes."""
    with started(peer, world) as running:
        before = memory(running.roots)
        row = closed(peer, running, world, TAIL_CLIENTS, (2.0, effort.tail_seconds))
        after = memory(running.roots)
    ratios = {f"{name}_of_p50": round(row[f"{name}_ms"] / row["p50_ms"], 2) for name in ("p99", "p999")}
    return {"name": peer.name, **row, **ratios, "worker_mib_before": before.worker, "worker_mib_after": after.worker}


def overload(peer: Peer, world: World, fullest: Row, effort: Effort) -> Row:
    """p99 of accepted requests with light probes, at the capacity, at three times the capacity, and with probes again.

    `fullest` is the closed loop with the most requests a second: the capacity.
    """
    capacity = fullest["requests_per_second"]
    with started(peer, world) as running:
        closed(peer, running, world, 1, WARM_UP)
        before = memory(running.roots)
        seconds = CAPACITY_SHARE * effort.overload_seconds
        at_capacity = opened(peer, running, world, [(PROBE_RATE, PROBE_SECONDS), (capacity, seconds)])
        flood = [(OVERLOAD * capacity, effort.overload_seconds), (PROBE_RATE, PROBE_SECONDS)]
        flooded = opened(peer, running, world, flood)
        after = memory(running.roots)
    light, full = at_capacity["phases"]
    over, probe = flooded["phases"]
    return {
        "name": peer.name,
        "capacity": capacity,
        "offered_per_second": round(OVERLOAD * capacity, 1),
        **{name: over[name] for name in ("requests", "accepted", "shed", "failed", "errors", "p50_ms", "p99_ms")},
        "accepted_per_second": over["accepted_per_second"],
        **{name: over[name] for name in FROM_SENT},
        "p99_ms_at_capacity": full["p99_ms"],
        "p99_ms_from_sent_at_capacity": full["p99_ms_from_sent"],
        "p99_of_p99_at_capacity": _ratio(over["p99_ms"], full["p99_ms"]),
        "p99_of_p99_at_capacity_from_sent": _ratio(over["p99_ms_from_sent"], full["p99_ms_from_sent"]),
        "clients_of_the_fullest_closed_loop": fullest["clients"],
        "p99_ms_of_the_fullest_closed_loop": fullest["p99_ms"],
        "seconds_until_normal": _seconds_until_normal(probe["timeline"], light["p99_ms"]),
        "probe_p99_ms_before": light["p99_ms"],
        "worker_mib_before": before.worker,
        "worker_mib_after": after.worker,
        "generator": flooded["generator"],
        "lag": flooded["lag"],
        "timeline": [*over["timeline"], *probe["timeline"]],
    }


def _seconds_until_normal(timeline: Sequence[Mapping[str, Any]], normal: float) -> int | None:
    """Seconds until all requests are accepted and fast again; None: never."""
    good = [_is_normal(second, normal) for second in timeline]
    return next(
        (place for place in range(len(good) - NORMAL_SECONDS + 1) if all(good[place : place + NORMAL_SECONDS])), None
    )


def _is_normal(second: Mapping[str, Any], normal: float) -> bool:
    return second["requests"] == second["accepted"] and (second["p99_ms"] or 0) <= NORMAL_FACTOR * normal


def _ratio(value: float | None, of: float | None) -> float | None:
    return round(value / of, 2) if value and of else None
