"""POST /predict while another client reports 10,000 outcomes a request: how much longer an answer takes."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from asof.settings import Settings
from benchmarks.offline.stages import LAST
from benchmarks.serving.batches import WINDOW, batch_body, beside, post_batch
from benchmarks.serving.measuring.driven import closed
from benchmarks.serving.setup.peer import Peer, started
from benchmarks.serving.setup.starting import bento
from benchmarks.serving.setup.world import DEFAULT, World, prepared

ITEMS, ROUNDS = 10_000, 5
JSON = "application/json"

Row = dict[str, Any]


def measure_outcomes(settings: Settings, progress: Callable[[str], None]) -> Iterator[Row]:
    """A row for each round: one client of /predict alone, and beside the reports; each report has new outcomes."""
    with TemporaryDirectory() as name:
        progress("users, features and a model")
        world = prepared(settings, Path(name), users=ITEMS, variants=("forest-one", "default"))
        os.environ["BENTOML_HOME"] = world.environment()["BENTOML_HOME"]
        kept: Row = {"ledger": "process", "ledger_spool": world.folder / "spool"}
        peer = Peer("outcomes", "outcomes", "asof", bento(DEFAULT, **kept), model=DEFAULT)
        with started(peer, world) as running:
            post_batch(running.urls[0], batch_body(world, ITEMS), JSON)  # the answers that the outcomes are of
            numbers = count()
            for each in range(ROUNDS):
                progress(f"round {each + 1} of {ROUNDS}")
                alone = closed(peer, running, world, 1, WINDOW)
                with_reports = beside(
                    peer,
                    running,
                    world,
                    lambda: post_batch(running.urls[0], _body(world, next(numbers)), JSON, "/outcomes"),
                )
                yield {
                    "p50 of alone": round(with_reports["p50_ms"] / alone["p50_ms"], 2),
                    "p99 of alone": round(with_reports["p99_ms"] / alone["p99_ms"], 2),
                    "alone, p50 / p99 ms": f"{alone['p50_ms']:.1f} / {alone['p99_ms']:.1f}",
                    "beside, p50 / p99 ms": f"{with_reports['p50_ms']:.1f} / {with_reports['p99_ms']:.1f}",
                    "failed": with_reports["failed"],
                }


def _body(world: World, number: int) -> bytes:
    """Outcomes of all users, observed at a moment of their own, so that they are new ones."""
    as_of = datetime(LAST.year, LAST.month, LAST.day, tzinfo=UTC).isoformat()
    users = [json.loads(line)["user_id"] for line in world.first("user", ITEMS)]
    common = {"as_of": as_of, "outcome": True, "observed_at": as_of}
    items = [{"entity": user, "key": f"{number}-{place}", **common} for place, user in enumerate(users)]
    return json.dumps({"outcomes": items}).encode()
