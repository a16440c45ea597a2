"""Closed loops: every peer in turn, restarted in each round; medians over the rounds."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from subprocess import CalledProcessError
from typing import Any

from asof.errors import AsOfError
from benchmarks.processes import run_json
from benchmarks.serving.effort import Effort
from benchmarks.serving.measuring.driven import closed
from benchmarks.serving.setup.peer import Peer, started
from benchmarks.serving.setup.world import World, model_of
from benchmarks.usage import memory

SLOW_RATE, MAX_SLOW_CLIENTS = 60.0, 32
"""A peer of fewer requests a second is slow: more clients wait so long that only the usual design is measured, once."""

FIRST_WARM_UP = 1.0

Progress = Callable[[str], None]
Row = dict[str, Any]


def closed_loops(
    peers: Sequence[Peer], world: World, effort: Effort, progress: Progress
) -> tuple[list[Row], dict[str, str]]:
    """One row for each peer: start, memory, and a row for each number of clients; all medians.

    Also the reasons by title of the peers of which a round failed.
    """
    rounds_of: dict[str, list[Row]] = {peer.name: [] for peer in peers}
    left_out = dict[str, str]()
    for number in range(effort.rounds):
        for peer in peers:
            if number < effort.slow_rounds or not any(_is_slow(each["loops"]) for each in rounds_of[peer.name]):
                progress(f"round {number + 1} of {effort.rounds}: {peer.title}")
                if reason := _try_round(rounds_of[peer.name], peer, world, effort):
                    progress(f"LEFT OUT, {peer.title}: {reason}")
                    left_out[peer.title] = reason
    rows = [_medians(peer, rounds_of[peer.name]) for peer in peers if rounds_of[peer.name]]
    return rows, left_out


def _try_round(rounds: list[Row], peer: Peer, world: World, effort: Effort) -> str:
    """Adds a round, or returns why there is none."""
    try:
        rounds.append(_one_round(peer, world, effort, first=not rounds))
    except (AssertionError, AsOfError, OSError, CalledProcessError) as error:
        return str(error)
    return ""


def _one_round(peer: Peer, world: World, effort: Effort, *, first: bool) -> Row:
    with started(peer, world) as running:
        loops = list[Row]()
        for clients in effort.clients:
            if clients <= MAX_SLOW_CLIENTS or not _is_slow(loops) or (first and peer.kind == "usual"):
                loops.append(closed(peer, running, world, clients, _window(clients, loops, effort)))
        used = memory(running.roots)
        return {"start_s": running.seconds, "worker_mib": used.worker, "whole_mib": used.whole, "loops": loops}


def _is_slow(loops: Sequence[Row]) -> bool:
    return bool(loops) and max(loop["requests_per_second"] for loop in loops) < SLOW_RATE


def _window(clients: int, loops: Sequence[Row], effort: Effort) -> tuple[float, float]:
    """Seconds of warm-up and of measurement, each long enough for every client (Little's law), within limits."""
    rate = max((loop["requests_per_second"] for loop in loops), default=0.0)
    cycle = min(effort.most_seconds, clients / rate) if rate else 0.0
    warm_up = max(0.5 if loops else FIRST_WARM_UP, effort.seconds / 4, cycle)
    return warm_up, max(effort.seconds, 2 * cycle if cycle < effort.most_seconds / 2 else cycle)


def _medians(peer: Peer, rounds: Sequence[Row]) -> Row:
    by_clients: dict[int, list[Row]] = {}
    for loop in (loop for each in rounds for loop in each["loops"]):
        by_clients.setdefault(loop["clients"], []).append(loop)
    once = {name: _median([each[name] for each in rounds]) for name in ("start_s", "worker_mib", "whole_mib")}
    loops = [_median_loop(each) for each in by_clients.values()]
    described = {"name": peer.name, "title": peer.title, "kind": peer.kind, "model": peer.model}
    return {**described, **once, "loops": loops, "rounds": list(rounds)}


def _median_loop(loops: Sequence[Row]) -> Row:
    """Medians; counts of requests and errors are sums."""
    sums = {name: sum(loop[name] for loop in loops) for name in ("requests", "accepted", "shed", "failed")}
    errors: dict[str, int] = {}
    for status, count in (each for loop in loops for each in loop["errors"].items()):
        errors[status] = errors.get(status, 0) + count
    names = (
        "requests_per_second",
        "p50_ms",
        "p99_ms",
        "p999_ms",
        "max_ms",
        "cpu_s_per_1000",
        "postgres_cpu_s_per_1000",
    )
    medians = {name: _median([loop[name] for loop in loops]) for name in names}
    generator = {name: _median([loop["generator"][name] for loop in loops]) for name in loops[0]["generator"]}
    return {"clients": loops[0]["clients"], **medians, **sums, "errors": errors, "generator": generator}


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 3) if known else None


def bare_models(world: World, effort: Effort) -> dict[str, Mapping[str, Any]]:
    """The models alone, by variant."""
    return {
        variant: run_json(
            {},
            "benchmarks.serving.bare_model",
            path,
            world.requests[model_of(variant)],
            str(effort.seconds),
            world.compiled.get(model_of(variant), ""),
        )
        for variant, path in world.models.items()
    }
