"""The whole measurement, and what it leaves: online_store.json, online_store.md and a plot in a folder."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from asof.settings import Settings
from benchmarks.online_store.effort import Effort
from benchmarks.online_store.peers import PEERS
from benchmarks.online_store.plots import draw
from benchmarks.online_store.reading import READERS, make_wide_table
from benchmarks.online_store.report import Results, summary_rows, written
from benchmarks.online_store.world import write_world
from benchmarks.processes import run_json
from benchmarks.serving.machine import described

Progress = Callable[[str], None]
Scratch = Callable[[str], AbstractContextManager[Settings]]
"""A name in; settings with a database of their own out, which is dropped afterwards."""


def measure_online_store(scratch: Scratch, into: Path, effort: Effort, progress: Progress) -> list[dict[str, Any]]:
    """Measures every peer, writes the results after each run, and gives the rows for the terminal.

    Raises AssertionError where two readers do not say the same of the same users.
    """
    into.mkdir(parents=True, exist_ok=True)
    results: Results = {"machine": described(), "effort": vars(effort)}
    with ExitStack() as stack:
        worlds = {users: stack.enter_context(scratch(f"online_{users}")) for users in effort.databases}
        for users, settings in worlds.items():
            progress(f"two months of {users:,} users")
            write_world(settings, users)
        for part, found in (
            ("materialise", _materialise(worlds, effort, progress)),
            ("reads", _read(worlds[effort.read_users], effort, progress)),
        ):
            results[part] = []
            for run in found:
                results[part].append(run)
                (into / "online_store.json").write_text(json.dumps(results, indent=1))
    (into / "online_store.md").write_text(written(results))
    draw(results, into)
    return summary_rows(results)


def _materialise(worlds: dict[int, Settings], effort: Effort, progress: Progress) -> Iterator[dict[str, Any]]:
    """Peers in turns, each run in empty tables of its own."""
    for turn in range(effort.rounds):
        for users, settings in worlds.items():
            for peer in PEERS.values():
                if users > effort.most_slow and peer.slow:
                    continue
                progress(f"round {turn + 1} of {effort.rounds}: {peer.title}, {users:,} users")
                told = run_json(settings.environment(), "benchmarks.online_store.materialising", peer.name)
                yield {"peer": peer.name, "users": users, **told}


def _read(settings: Settings, effort: Effort, progress: Progress) -> Iterator[dict[str, Any]]:
    """After the last round the tables of the stock store and of ours are full."""
    make_wide_table(settings)
    digests: dict[str, str] = {}
    for turn in range(effort.rounds):
        for entities in effort.entities:
            for reader, (title, _) in READERS.items():
                progress(f"round {turn + 1} of {effort.rounds}: {title}, {entities:,} users")
                words = (reader, str(entities), str(effort.seconds))
                told = run_json(settings.environment(), "benchmarks.online_store.reading", *words)
                digests[reader] = told.pop("digest")
                yield {"reader": reader, "entities": entities, **told}
    if len(set(digests.values())) != 1:
        raise AssertionError(f"readers say different things of the same users: {digests}")
