"""What keeping each answer costs: services with the ledger off, on, and durable, beside each other in turns.

The shipper is a process of its own, and its seconds are counted separately. Ratios are those of the medians over the
rounds.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any

import psutil
import psycopg

from asof.settings import Settings
from benchmarks.serving.batches import batch_body, post_batch
from benchmarks.serving.measuring.driven import closed, opened
from benchmarks.serving.setup.peer import Peer, Started, started
from benchmarks.serving.setup.starting import bento
from benchmarks.serving.setup.world import DEFAULT, FOREST, World, prepared
from benchmarks.usage import cpu_seconds

KEEPING = ("off", "process", "disk")
CLIENTS, WINDOW, ROUNDS = 32, (0.5, 2.0), 7
USERS, BATCH_ROUNDS = 10_000, 9
RATE, RATE_SECONDS = 2_000.0, 10.0
"""Answers a second at which the lag of the shipper is measured."""

Row = dict[str, Any]


def measure_ledger(settings: Settings, progress: Callable[[str], None]) -> Iterator[Row]:
    """Rows for single answers and batches of both models, and for shipping."""
    with TemporaryDirectory() as name:
        progress("users, features and both models")
        folder = Path(name)
        world = prepared(settings, folder, users=USERS, variants=("forest-one", "default"))
        os.environ["BENTOML_HOME"] = world.environment()["BENTOML_HOME"]  # where local.stack.services looks for a Bento
        body = batch_body(world, USERS)
        for model in (FOREST, DEFAULT):
            progress(f"the ledger, {model} model")
            with _services(world, model, folder) as services:
                single = in_turns(services, ROUNDS, lambda peer, running: closed(peer, running, world, CLIENTS, WINDOW))
                yield from _rows(f"{model}, /predict, {CLIENTS} clients", single, "requests_per_second")
                batches = in_turns(services, BATCH_ROUNDS, lambda _, running: _batch(running, body))
                yield from _rows(f"{model}, /predict/batch, {USERS} users", batches, "users_per_second")
        progress("shipping")
        yield from _shipping(world, folder)


@contextmanager
def _services(world: World, model: str, folder: Path) -> Iterator[Mapping[str, tuple[Peer, Started]]]:
    with ExitStack() as stack:
        services = {}
        for keeping in KEEPING:
            spool = folder / f"{model}-{keeping}"
            settings: dict[str, Any] = {
                "ledger": keeping,
                "ledger_spool": spool,
                "ledger_spool_bytes": 2**34,
                "ledger_ship": False,
            }
            peer = Peer(keeping, keeping, "asof", bento(model, **settings), model=model)
            services[keeping] = (peer, stack.enter_context(started(peer, world)))
        yield services


def in_turns(
    services: Mapping[str, tuple[Peer, Started]], rounds: int, measure: Callable[[Peer, Started], Row]
) -> Mapping[str, list[Row]]:
    results: dict[str, list[Row]] = {name: [] for name in services}
    for number in range(rounds):
        order = list(services.items())
        for name, service in order if number % 2 else reversed(order):
            results[name].append(measure(*service))
    return results


def _batch(running: Started, body: bytes) -> Row:
    before = cpu_seconds(running.roots)
    seconds, _, _ = post_batch(running.urls[0], body, "application/json")
    spent = cpu_seconds(running.roots) - before
    return {"users_per_second": USERS / seconds, "cpu_s_per_1000": spent / USERS * 1000, "p99_ms": seconds * 1000}


def _rows(what: str, results: Mapping[str, list[Row]], rate: str) -> Iterator[Row]:
    def median(name: str, figure: str) -> float:
        return float(statistics.median(each[figure] for each in results[name]))

    for name in results:
        yield {
            "what": what,
            "ledger": name,
            "CPU of off": round(median(name, "cpu_s_per_1000") / median("off", "cpu_s_per_1000"), 3),
            "rate of off": round(median(name, rate) / median("off", rate), 3),
            "p99 of off": round(median(name, "p99_ms") / median("off", "p99_ms"), 2),
            "CPU us each": round(median(name, "cpu_s_per_1000") * 1000, 1),
            "a second": round(median(name, rate)),
        }


def _shipping(world: World, folder: Path) -> Iterator[Row]:
    """The rate of the shipper on what the rounds have left in one spool, and its lag under a steady load."""
    spool = folder / f"{DEFAULT}-process"
    with _shipper(world.settings, spool) as shipper:
        begun = monotonic()
        while any(spool.glob("*.frames")):
            sleep(0.05)
        seconds, cpu = monotonic() - begun, sum(shipper.cpu_times()[:2])
    with psycopg.connect(world.settings.ledger_conninfo()) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM ledger.predictions").fetchone() or (0,)
        size = (
            "SELECT sum(pg_indexes_size(c.oid) + pg_table_size(c.oid)) FROM pg_class c WHERE relname ~ 'predictions_2'"
        )
        (used,) = connection.execute(size).fetchone() or (0,)
    yield {
        "what": "shipping",
        "ledger": "process",
        "rows": rows,
        "a second": round(rows / seconds),
        "CPU us each": round(cpu / rows * 1e6, 1),
        "bytes each": round(float(used) / rows),
    }
    yield {"what": f"lag at {RATE:g} answers a second", "ledger": "process", **_lag(world, folder)}


def _lag(world: World, folder: Path) -> Row:
    """The age of the newest answer in the ledger under a steady load, at most."""
    spool = folder / "lag"
    peer = Peer("lag", "lag", "asof", bento(DEFAULT, ledger="process", ledger_spool=spool), model=DEFAULT)
    latest = "SELECT extract(epoch FROM now() - max(at)) FROM ledger.predictions"
    with started(peer, world) as running:
        process = subprocess.Popen(
            [sys.executable, "-c", WATCH.format(latest), world.settings.ledger_conninfo(), str(RATE_SECONDS)],
            stdout=subprocess.PIPE,
            text=True,
        )
        (result,) = opened(peer, running, world, [(RATE, RATE_SECONDS + 2)])["phases"]
        lags, _ = process.communicate()
    return {"a second": round(result["accepted_per_second"]), "greatest lag, s": float(lags)}


WATCH = """
import sys, time, psycopg
connection = psycopg.connect(sys.argv[1], autocommit=True)
time.sleep(1.5)
until, lags = time.monotonic() + float(sys.argv[2]) - 2, []
while time.monotonic() < until:
    lags.append(float(connection.execute("{}").fetchone()[0]))
    time.sleep(0.05)
print(round(max(lags), 2))
"""


@contextmanager
def _shipper(settings: Settings, spool: Path) -> Iterator[psutil.Process]:
    environment = {**os.environ, **settings.environment(), "ASOF_LEDGER_SPOOL": str(spool)}
    process = subprocess.Popen([sys.executable, "-m", "asof.serving.ledger"], env=environment)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()
