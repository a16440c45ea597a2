"""Closed loops: every peer in turn, started anew in each round -> medians over the rounds."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from subprocess import CalledProcessError
from typing import Any

from asof.errors import AsOfError
from benchmarks.processes import run_json
from benchmarks.serving.driven import closed
from benchmarks.serving.effort import Effort
from benchmarks.serving.peer import Peer, started
from benchmarks.serving.usage import memory
from benchmarks.serving.world import World, model_of

SLOW, MANY = 60.0, 32
"""Requests a second of a slow peer: a queue of more than 32 takes so long that only the usual design is asked, once."""

FIRST_WARM_UP = 1.0

Progress = Callable[[str], None]
Row = dict[str, Any]


def closed_loops(peers: Sequence[Peer], world: World, effort: Effort, progress: Progress) -> list[Row]:
    """One row for each peer: start, memory, and a row for each number of clients, all of them medians."""
    seen: dict[str, list[Row]] = {peer.name: [] for peer in peers}
    for turn in range(effort.rounds):
        for peer in peers:
            if turn < effort.slow_rounds or not any(_is_slow(each["loops"]) for each in seen[peer.name]):
                progress(f"round {turn + 1} of {effort.rounds}: {peer.title}")
                _add_round(seen[peer.name], peer, world, effort, progress)
    return [_medians(peer, seen[peer.name]) for peer in peers if seen[peer.name]]


def _add_round(rounds: list[Row], peer: Peer, world: World, effort: Effort, progress: Progress) -> None:
    """One peer that fails does not cost the figures of the others; it is told, and is not in the table."""
    try:
        rounds.append(_one_round(peer, world, effort, first=not rounds))
    except (AssertionError, AsOfError, OSError, CalledProcessError) as error:
        progress(f"LEFT OUT, {peer.title}: {error}")


def _one_round(peer: Peer, world: World, effort: Effort, *, first: bool) -> Row:
    with started(peer, world) as running:
        loops = list[Row]()
        for clients in effort.clients:
            if clients <= MANY or not _is_slow(loops) or (first and peer.kind == "usual"):
                loops.append(closed(peer, running, world, clients, _window(clients, loops, effort)))
        kept = memory(running.roots)
        return {"start_s": running.seconds, "worker_mib": kept.worker, "whole_mib": kept.whole, "loops": loops}


def _is_slow(loops: Sequence[Row]) -> bool:
    return bool(loops) and max(loop["requests_per_second"] for loop in loops) < SLOW


def _window(clients: int, loops: Sequence[Row], effort: Effort) -> tuple[float, float]:
    """Seconds to warm up and to count: each client should have its turn in both (Little's law), within limits."""
    rate = max((loop["requests_per_second"] for loop in loops), default=0.0)
    turn = min(effort.most_seconds, clients / rate) if rate else 0.0
    least = 0.5 if loops else FIRST_WARM_UP
    return max(least, effort.seconds / 4, turn), max(
        effort.seconds, 2 * turn if turn < effort.most_seconds / 2 else turn
    )


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
            world.requests[model_of(variant)],
            str(effort.seconds),
            world.compiled.get(model_of(variant), ""),
        )
        for variant, path in world.models.items()
    }
