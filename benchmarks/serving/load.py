"""The load generator, a process of its own: its last line of stdout is what its clients saw, as JSON.

`python -m benchmarks.serving.load PLAN`, where PLAN is JSON: `bodies`, a file with a JSON body a line, sent in turn;
and `closed` or `open`, the members of ClosedLoop or OpenLoop. The result tells also what the generator itself took.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import cycle
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import uvloop

from benchmarks.serving.closed_loop import ClosedLoop, closed_loop
from benchmarks.serving.connection import request_bytes
from benchmarks.serving.open_loop import OpenLoop, Phase, open_loop


def run(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Drives the plan. CPU seconds are those of this process while it drove, its share that of one core."""
    bodies = Path(plan["bodies"]).read_bytes().splitlines()
    drive = _closed(plan["closed"], bodies) if "closed" in plan else _open(plan["open"], bodies)
    begun, spent = perf_counter(), process_time()
    result = uvloop.run(drive())
    spent, begun = process_time() - spent, perf_counter() - begun
    own = {
        "cpu_seconds": round(spent, 3),
        "share_of_a_core": round(spent / begun, 3),
        "us_per_request": round(spent / max(1, result["requests_with_warm_up"]) * 1e6, 1),
    }
    return {**result, "generator": own}


def _closed(told: Mapping[str, Any], bodies: list[bytes]) -> Callable[[], Any]:
    hop = partial(_feast_to_mlflow, told["urls"][1]) if len(told["urls"]) == 2 else None
    plan = ClosedLoop(**{**told, "urls": tuple(told["urls"]), "hop": hop})
    return lambda: closed_loop(plan, _requests(plan.urls[0], bodies))


def _open(told: Mapping[str, Any], bodies: list[bytes]) -> Callable[[], Any]:
    plan = OpenLoop(**{**told, "phases": tuple(Phase(*each) for each in told["phases"])})
    return lambda: open_loop(plan, _requests(plan.url, bodies))


def _requests(url: str, bodies: list[bytes]) -> Iterator[bytes]:
    return cycle([request_bytes(url, body) for body in bodies])


def _feast_to_mlflow(url: str, answer: bytes) -> bytes:
    """The features that Feast's server gave for one user, as a request to MLflow's; its first column is the key."""
    told = json.loads(answer)
    row = [column["values"][0] for column in told["results"][1:]]
    table = {"columns": told["metadata"]["feature_names"][1:], "data": [row]}
    return request_bytes(url, json.dumps({"dataframe_split": table}).encode())


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
