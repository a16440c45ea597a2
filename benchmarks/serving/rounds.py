"""Closed loops: every peer in turn, started anew in each round -> medians over the rounds."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.processes import run_json
from benchmarks.serving.driven import closed
from benchmarks.serving.effort import Effort
from benchmarks.serving.peer import Peer, started
from benchmarks.serving.usage import memory
from benchmarks.serving.world import FOREST, World

SLOW = 60.0
"""Requests a second: below this a queue of 128 takes too long to be measured more than once."""

Progress = Callable[[str], None]
Row = dict[str, Any]


def closed_loops(peers: Iterable[Peer], world: World, effort: Effort, progress: Progress) -> list[Row]:
    """One row for each peer: start, memory, and a row for each number of clients, all of them medians."""
    seen: dict[str, list[Row]] = {peer.name: [] for peer in peers}
    for turn in range(effort.rounds):
        for peer in peers:
            progress(f"round {turn + 1} of {effort.rounds}: {peer.title}")
            seen[peer.name].append(_one_round(peer, world, effort, first=turn == 0))
    return [_medians(peer, seen[peer.name]) for peer in peers]


def _one_round(peer: Peer, world: World, effort: Effort, *, first: bool) -> Row:
    with started(peer, world) as running:
        loops = list[Row]()
        for clients in effort.clients:
            slow = bool(loops) and loops[-1]["requests_per_second"] < SLOW
            if first or clients <= 32 or not slow:
                loops.append(closed(peer, running, world, clients, effort.seconds))
        kept = memory(running.roots)
        return {"start_s": running.seconds, "worker_mib": kept.worker, "whole_mib": kept.whole, "loops": loops}


def _medians(peer: Peer, rounds: Sequence[Row]) -> Row:
    by_clients: dict[int, list[Row]] = {}
    for loop in (loop for turn in rounds for loop in turn["loops"]):
        by_clients.setdefault(loop["clients"], []).append(loop)
    once = {name: _median([turn[name] for turn in rounds]) for name in ("start_s", "worker_mib", "whole_mib")}
    loops = [_median_loop(found) for found in by_clients.values()]
    told = {"name": peer.name, "title": peer.title, "kind": peer.kind, "model": peer.model}
    return {**told, **once, "loops": loops, "rounds": list(rounds)}


def _median_loop(loops: Sequence[Row]) -> Row:
    """Medians of what is a number; counts of requests and errors are sums."""
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
    """The models alone, by variant: on a one-row frame and on a one-row array."""
    return {
        variant: run_json(
            {},
            "benchmarks.serving.bare_model",
            path,
            world.requests[FOREST if variant.startswith(FOREST) else variant],
            str(effort.seconds),
        )
        for variant, path in world.models.items()
    }
