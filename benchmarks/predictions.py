"""`POST /predict` of the built Bento beside an empty BentoML endpoint, in turns, in one run."""

import csv
import json
import os
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from asof.settings import PROJECT, Settings, export
from asof.use_cases import load
from benchmarks.processes import run_json
from benchmarks.stages import LAST, materialise, simulate, snapshot
from local import background
from local.background import Service
from local.deploy import deploy
from local.ports import free_ports
from local.serve import serving
from local.stack import down

CLIENTS = (1, 32)
ROUNDS = 3
SECONDS = 5
USERS = 7_043
EMPTY = PROJECT / "benchmarks" / "empty_endpoint"


def measure_predictions(settings: Settings) -> list[dict[str, Any]]:
    """One row for each peer and number of clients: medians over the rounds, and the ratio to the empty endpoint."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        os.environ["BENTOML_HOME"] = str(folder / "bentoml")
        bento = _bento(settings, folder / "extracts")
        bodies = _bodies(folder)
        clocked = settings.model_copy(update={"clock": datetime(LAST.year, LAST.month, LAST.day, tzinfo=UTC)})
        peers = {
            "empty BentoML endpoint": stack.enter_context(_empty_endpoint(settings, folder)),
            "AsOf /predict": stack.enter_context(serving(clocked, bento)),
            "AsOf /predict behind the front door": stack.enter_context(_behind_the_front_door(clocked, folder, bento)),
        }
        return [row for clients in CLIENTS for row in _rounds(peers, clients, bodies)]


def _rounds(peers: dict[str, str], clients: int, bodies: Path) -> list[dict[str, Any]]:
    seen: dict[str, list[dict[str, Any]]] = {peer: [] for peer in peers}
    for _ in range(ROUNDS):
        for peer, address in peers.items():
            words = (f"{address}/predict", str(clients), str(SECONDS), str(bodies))
            seen[peer].append(run_json({}, "benchmarks.load", *words))
    medians = {peer: _median(runs) for peer, runs in seen.items()}
    ceiling = medians["empty BentoML endpoint"]["requests_per_second"]
    return [
        {"peer": peer, **median, "of the empty endpoint": round(median["requests_per_second"] / ceiling, 2)}
        for peer, median in medians.items()
    ]


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}


@contextmanager
def _behind_the_front_door(settings: Settings, folder: Path, bento: str) -> Iterator[str]:
    at_home = settings.model_copy(update={"home": folder / "home"})
    try:
        yield deploy(at_home, bento).address
    finally:
        down(at_home)


def _bento(settings: Settings, extracts: Path) -> str:
    from training.bundle import bundle
    from training.dataset import build_training_set, newest_labelled
    from training.evaluate import evaluate
    from training.judgement import judge_of
    from training.promote import promote
    from training.register import register
    from training.train import train

    export(settings)
    use_case = load("churn")
    simulate(settings, extracts, USERS)
    snapshot(settings, extracts, USERS)
    materialise(settings, extracts, USERS)
    training_set = build_training_set(settings, use_case, newest_labelled(settings, use_case))
    version = register(settings, evaluate(settings, train(settings, use_case, training_set)))
    promote(settings, version, judge=judge_of(settings, use_case, version))
    return bundle(settings, use_case).bento_tag


def _bodies(folder: Path) -> Path:
    """One request for each user of the newest month."""
    with (folder / "extracts" / "month_001" / "users.csv").open() as file:
        users = [row["user_id"] for row in csv.DictReader(file)]
    path = folder / "bodies.jsonl"
    path.write_text("\n".join(json.dumps({"user_id": user}) for user in users))
    return path


@contextmanager
def _empty_endpoint(settings: Settings, folder: Path) -> Iterator[str]:
    words = ("serve", "service:EmptyEndpoint", "--working-dir", str(EMPTY))
    service = Service("empty", "the empty endpoint", "bentoml", words, settings.port, "/livez")
    port = next(iter(free_ports(settings.host, service.port, service.title)))
    running = background.launch(service, folder, (settings.host, port))
    try:
        background.wait_until_healthy(service, running, folder)
        yield running.address
    finally:
        background.end(service.name, folder)
