"""What a challenger in shadow costs the answers: services without and with one, beside each other in turns.

The challenger is the forest, trained on the features that the default model looks up. Its process is counted apart
from the service. Ratios are those of the medians over the rounds.
"""

import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any

import httpx
import psutil
from pydantic import SecretStr

from asof.errors import AsOfError
from asof.settings import Settings
from asof.use_cases import load
from benchmarks.offline.stages import train_version
from benchmarks.serving.ledger import in_turns
from benchmarks.serving.measuring.driven import closed, opened
from benchmarks.serving.setup.peer import Peer, Started, started
from benchmarks.serving.setup.starting import bento
from benchmarks.serving.setup.world import DEFAULT, World, prepared
from benchmarks.swaps import mlflow_server

SHARES: Mapping[str, float | None] = {"none": None, "share 0.1": 0.1, "share 1": 1.0}
CLIENTS, WINDOW, ROUNDS = 8, (0.5, 3.0), 9
RATE, SECONDS = 500.0, 4.0
"""Of the open loop: about a sixth of what a worker can answer."""
USERS = 2_000
Row = dict[str, Any]


def measure_shadow(settings: Settings, progress: Callable[[str], None]) -> Iterator[Row]:
    """A row for each share of a processor that the challenger may use."""
    with TemporaryDirectory() as name:
        progress("users, features and both models")
        world = prepared(settings, Path(name), users=USERS, variants=("forest-one", "default"))
        os.environ["BENTOML_HOME"] = world.environment()["BENTOML_HOME"]
        challenger = _forest(world)
        with mlflow_server(world.settings) as registry, _services(world, registry, challenger) as services:
            for load, drive in LOADS.items():
                progress(f"answers with and without a challenger, {load}")
                measure = partial(_measured, world=world, drive=drive)
                results = in_turns(services, ROUNDS, measure)
                yield from (_row(load, name, results) for name in results)


def _at_a_rate(peer: Peer, running: Started, world: World) -> Row:
    result = opened(peer, running, world, [(RATE, SECONDS)])
    (phase,) = result.pop("phases")
    return {**result, **phase, "requests_per_second": phase["accepted_per_second"]}


LOADS: Mapping[str, Callable[[Peer, Started, World], Row]] = {
    f"{RATE:g} requests/s": _at_a_rate,
    f"{CLIENTS} clients": lambda peer, running, world: closed(peer, running, world, CLIENTS, WINDOW),
}


def _forest(world: World) -> str:
    """Its version."""
    churn = load("churn")
    forest = replace(churn.estimator("seed-baseline"), feature_service=churn.estimator("default").feature_service)
    use_case = replace(churn, estimators={**churn.estimators, "forest": forest})
    return train_version(world.settings, "forest", use_case).version


@contextmanager
def _services(world: World, registry: str, challenger: str) -> Iterator[Mapping[str, tuple[Peer, Started]]]:
    with ExitStack() as stack:
        services = {}
        for name, share in SHARES.items():
            spool = world.folder / f"spool-{name.replace(' ', '-')}"
            changes: Row = {"ledger": "process", "ledger_spool": spool, "ledger_ship": False}
            if share:
                changes |= {"shadow": challenger, "shadow_share": share, "registry_url": SecretStr(registry)}
            peer = Peer(name, name, "asof", bento(DEFAULT, **changes), model=DEFAULT)
            services[name] = peer, (running := stack.enter_context(started(peer, world)))
            if share:
                _wait_for_challenger(running)
        yield services


def _wait_for_challenger(running: Started) -> None:
    while (shadow := _shadow(running))["status"] != "scoring":
        if shadow["status"] == "refused":
            raise AsOfError(f"The challenger is refused: {shadow['why']}.")
        sleep(0.2)


def _shadow(running: Started) -> Row:
    model: Row = httpx.get(running.urls[0].replace("/predict", "/model")).json()
    return model["shadow"] or {"scored": 0}


def _measured(peer: Peer, running: Started, world: World, drive: Callable[[Peer, Started, World], Row]) -> Row:
    before, scored = _challenger_seconds(running), _shadow(running)["scored"]
    result = drive(peer, running, world)
    spent = _challenger_seconds(running) - before
    thousands = result["requests_with_warm_up"] / 1000
    return {
        **result,
        "cpu_s_per_1000": result["cpu_s_per_1000"] - spent / thousands,
        "challenger_s": spent,
        "scored": _shadow(running)["scored"] - scored,
    }


def _challenger_seconds(running: Started) -> float:
    """Seconds of a processor that the challenger's process has used."""
    processes = (each for root in running.roots for each in psutil.Process(root).children(recursive=True))
    times = (each.cpu_times() for each in processes if "asof.serving.shadow" in each.cmdline())
    return float(sum(each.user + each.system for each in times))


def _row(load: str, name: str, results: Mapping[str, list[Row]]) -> Row:
    def ratio(figure: str) -> float:
        ours, without = (statistics.median(each[figure] for each in results[key]) for key in (name, "none"))
        return float(ours / without)

    own = results[name]
    requests, scored = sum(each["requests_with_warm_up"] for each in own), sum(each["scored"] for each in own)
    seconds = sum(each["challenger_s"] for each in own)
    return {
        "load": load,
        "challenger": name,
        "p50 of none": round(ratio("p50_ms"), 2),
        "p99 of none": round(ratio("p99_ms"), 2),
        "CPU of none": round(ratio("cpu_s_per_1000"), 3),
        "rate of none": round(ratio("requests_per_second"), 3),
        "failed": sum(each["failed"] for each in own),
        "scored": f"{scored / requests:.0%}",
        "us of its own each": round(seconds / scored * 1e6) if scored else "",
    }
