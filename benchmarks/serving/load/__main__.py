"""The load generator: a process of its own, whose last line of stdout is its result as JSON.

`python -m benchmarks.serving.load PLAN`, where PLAN is JSON: `bodies`, a file with one JSON body a line, sent in turn;
and `closed` or `open`, the fields of ClosedLoop or OpenLoop. The result includes what the generator itself used.
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

from benchmarks.serving.load.closed_loop import ClosedLoop, closed_loop
from benchmarks.serving.load.connection import request_bytes
from benchmarks.serving.load.open_loop import OpenLoop, Phase, open_loop


def run(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Runs the load. `generator` has the CPU seconds of this process and its share of one core."""
    bodies = Path(plan["bodies"]).read_bytes().splitlines()
    loop = _closed(plan["closed"], bodies) if "closed" in plan else _open(plan["open"], bodies)
    begun, spent = perf_counter(), process_time()
    result = uvloop.run(loop())
    spent, begun = process_time() - spent, perf_counter() - begun
    own = {
        "cpu_seconds": round(spent, 3),
        "share_of_a_core": round(spent / begun, 3),
        "us_per_request": round(spent / max(1, result["requests_with_warm_up"]) * 1e6, 1),
    }
    return {**result, "generator": own}


def _closed(fields: Mapping[str, Any], bodies: list[bytes]) -> Callable[[], Any]:
    hop = partial(_feast_to_mlflow, fields["urls"][1]) if len(fields["urls"]) == 2 else None
    plan = ClosedLoop(**{**fields, "urls": tuple(fields["urls"]), "hop": hop})
    return lambda: closed_loop(plan, _requests(plan.urls[0], bodies))


def _open(fields: Mapping[str, Any], bodies: list[bytes]) -> Callable[[], Any]:
    plan = OpenLoop(**{**fields, "phases": tuple(Phase(*each) for each in fields["phases"])})
    return lambda: open_loop(plan, _requests(plan.url, bodies))


def _requests(url: str, bodies: list[bytes]) -> Iterator[bytes]:
    return cycle([request_bytes(url, body) for body in bodies])


def _feast_to_mlflow(url: str, answer: bytes) -> bytes:
    """The response of Feast's server for one user as a request to MLflow's; its first column is the key."""
    response = json.loads(answer)
    row = [column["values"][0] for column in response["results"][1:]]
    table = {"columns": response["metadata"]["feature_names"][1:], "data": [row]}
    return request_bytes(url, json.dumps({"dataframe_split": table}).encode())


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
