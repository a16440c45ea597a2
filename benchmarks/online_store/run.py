"""The whole measurement; it writes online_store.json, online_store.md and a plot to a folder."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError
from tempfile import TemporaryDirectory
from typing import Any

from asof.errors import ConfigurationError
from asof.settings import Settings
from benchmarks.environments.making import MODULE
from benchmarks.environments.redis_store import ADDRESS, redis_server
from benchmarks.online_store.peers import PEERS
from benchmarks.online_store.plots import draw
from benchmarks.online_store.reading import OF_REDIS, READERS, make_wide_table
from benchmarks.online_store.report import Results, markdown, summary_rows
from benchmarks.online_store.world import write_world
from benchmarks.processes import run_json
from benchmarks.reporting import machine

Progress = Callable[[str], None]
Scratch = Callable[[str], AbstractContextManager[Settings]]
"""From a name to settings with a database of their own, which is dropped afterwards."""


@dataclass(frozen=True)
class Effort:
    """How much to measure: rounds, users to materialise, entities of a read, and seconds for each kind of read.

    A slow peer is measured with at most `most_slow` users, and compared by its rows a second: with a million, the stock
    store takes minutes and gigabytes. All reads are from a store of `most_slow` users.
    """

    rounds: int = 3
    sizes: tuple[int, ...] = (7_043, 1_000_000)
    most_slow: int = 100_000
    entities: tuple[int, ...] = (1, 256, 10_000)
    seconds: float = 3.0

    @property
    def read_users(self) -> int:
        """Users of the store that is read."""
        return min(self.most_slow, max(self.sizes))


QUICK = Effort(rounds=1, sizes=(2_000, 20_000), most_slow=5_000, entities=(1, 256, 2_000), seconds=1.0)


def measure_online_store(scratch: Scratch, into: Path, effort: Effort, progress: Progress) -> list[dict[str, Any]]:
    """Measures every peer, writes the results after each run, and returns the rows for the terminal.

    Raises AssertionError if two readers return different values.
    """
    into.mkdir(parents=True, exist_ok=True)
    results: Results = {"machine": machine(), "effort": vars(effort)}
    with ExitStack() as stack:
        worlds = {
            users: stack.enter_context(scratch(f"online_{users}"))
            for users in sorted({*effort.sizes, effort.read_users})
        }
        for users, settings in worlds.items():
            progress(f"two months of {users:,} users")
            write_world(settings, users)
        read = worlds[effort.read_users]
        results["left_out"], redis = _redis(read, stack, progress)
        for part, runs in (
            ("materialise", _materialise(worlds, effort, progress)),
            ("reads", _read(read, redis, effort, progress)),
        ):
            results[part] = []
            for run in runs:
                results[part].append(run)
                (into / "online_store.json").write_text(json.dumps(results, indent=1))
    (into / "online_store.md").write_text(markdown(results))
    draw(results, into)
    return summary_rows(results)


def _materialise(worlds: dict[int, Settings], effort: Effort, progress: Progress) -> Iterator[dict[str, Any]]:
    """Peers in turns, each with empty tables of its own."""
    for number in range(effort.rounds):
        for users, settings in worlds.items():
            for peer in PEERS.values():
                if users > effort.most_slow and peer.slow:
                    continue
                progress(f"round {number + 1} of {effort.rounds}: {peer.title}, {users:,} users")
                result = run_json(settings.environment(), "benchmarks.online_store.materialising", peer.name)
                yield {"peer": peer.name, "users": users, **result}


def _redis(settings: Settings, stack: ExitStack, progress: Progress) -> tuple[str, str]:
    """Why there is no Redis, and its address with the same features; one of them is empty."""
    progress("the same features in Feast's Redis store")
    folder = Path(stack.enter_context(TemporaryDirectory()))
    try:
        return "", stack.enter_context(redis_server(settings, folder)).address
    except (ConfigurationError, CalledProcessError) as error:
        progress(f"LEFT OUT, Feast's Redis store: {error}")
        return f"Feast's Redis store: {error}", ""


def _read(settings: Settings, redis: str, effort: Effort, progress: Progress) -> Iterator[dict[str, Any]]:
    """The tables of the stock store and of ours are full after the last round."""
    make_wide_table(settings)
    readers = {name: title for name, (title, _) in READERS.items() if redis or name not in OF_REDIS}
    digests: dict[str, str] = {}
    for number in range(effort.rounds):
        for entities in effort.entities:
            for reader, title in readers.items():
                progress(f"round {number + 1} of {effort.rounds}: {title}, {entities:,} users")
                module = ("benchmarks.online_store.reading", reader, str(entities), str(effort.seconds))
                within = (MODULE, "redis") if reader in OF_REDIS else ()
                result = run_json({**settings.environment(), ADDRESS: redis}, *within, *module)
                digests[reader] = result.pop("digest")
                yield {"reader": reader, "entities": entities, **result}
    if len(set(digests.values())) != 1:
        raise AssertionError(f"The readers return different values: {digests}")
