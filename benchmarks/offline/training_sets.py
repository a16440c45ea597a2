"""A training set of twelve months of history and the same join by hand, in turns; and the fingerprint of a stream.

`python -m benchmarks.offline.training_sets WHO SIZE`, with ASOF_POSTGRES_URL set to a database that
`measure_training_sets` filled, is one measurement in a process of its own, as a line of JSON.
"""

import json
import resource
import statistics
import sys
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

from asof.settings import Settings, export
from asof.use_cases import load
from benchmarks.offline.history import last_day, write_history
from benchmarks.processes import run_json

MONTHS = 12
ROUNDS = 3
PEERS = ("by hand", "AsOf")
AS_OF = f"{last_day(MONTHS - 1).isoformat()}T00:00:00+00:00"
KNOWN_AT = f"{last_day(MONTHS + 1).isoformat()}T00:00:00+00:00"
CHUNK_ROWS = 50_000


def measure_training_sets(settings: Settings, users: int) -> dict[str, Any]:
    """Medians over the rounds, and our seconds as a multiple of those by hand.

    Raises AssertionError if the rows differ.
    """
    from training.features.materialisation.feature_registry import apply_features

    export(settings)
    begun = perf_counter()
    write_history(settings, users=users, months=MONTHS)
    written = perf_counter() - begun
    apply_features(settings)
    runs = [(peer, _run(settings, peer, users)) for _ in range(ROUNDS) for peer in PEERS]
    if len(digests := {run["digest"] for _, run in runs}) != 1:
        raise AssertionError(f"{users} users: {len(digests)} different training sets")
    hand, ours = (statistics.median(run["seconds"] for name, run in runs if name == peer) for peer in PEERS)
    return {
        "users": users,
        "rows per table": users * MONTHS,
        "written in s": round(written),
        "by hand s": round(hand, 1),
        "AsOf s": round(ours, 1),
        "of by hand": round(ours / hand, 2),
        "us per user": round(ours / users * 1e6, 1),
        "peak MiB": max(run["peak_mib"] for peer, run in runs if peer == "AsOf"),
    }


def measure_stream(settings: Settings, rows: int) -> dict[str, Any]:
    """The fingerprint of a generated stream of that many rows in nineteen columns."""
    run = _run(settings, "stream", rows)
    return {"rows": rows, "columns": 19, "seconds": run["seconds"], "peak MiB": run["peak_mib"]}


def _run(settings: Settings, who: str, size: int) -> dict[str, Any]:
    return run_json(settings.environment(), "benchmarks.offline.training_sets", who, str(size))


def by_hand(settings: Settings, _: int) -> Callable[[], str]:
    from benchmarks.offline.by_hand import joined_by_hand
    from training.features.datasets.rows_digest import TYPES, rows_digest

    rows, frame = joined_by_hand(settings, as_of=AS_OF, known_at=KNOWN_AT)
    assert len(frame) == rows.num_rows
    names = {arrow_type: feast_type for feast_type, arrow_type in TYPES.items()}
    return lambda: rows_digest([rows], {each.name: names[each.type] for each in rows.schema}, key=["user_id"])


def ours(settings: Settings, users: int) -> Callable[[], str]:
    from datetime import datetime

    from training.features.datasets.dataset import build_training_set

    as_of, known_at = datetime.fromisoformat(AS_OF), datetime.fromisoformat(KNOWN_AT)
    built = build_training_set(settings, load("churn"), as_of, known_at=known_at)
    assert len(built.frame) == users
    return lambda: built.rows_digest


def stream(_: Settings, rows: int) -> Callable[[], str]:
    from training.features.datasets.rows_digest import rows_digest

    types = {"user_id": "String", **{f"number_{place}": "Float64" for place in range(6)}}
    types |= {f"count_{place}": "Int64" for place in range(6)} | {f"flag_{place}": "Bool" for place in range(3)}
    types |= {f"text_{place}": "String" for place in range(3)}
    digest = rows_digest(_chunks(rows, types), types, key=["user_id"])
    return lambda: digest


def _chunks(rows: int, types: dict[str, str]) -> Iterator[Any]:
    import numpy as np
    import pyarrow as arrow

    generator = np.random.default_rng(0)
    for start in range(0, rows, CHUNK_ROWS):
        draws = {
            "Float64": generator.random(CHUNK_ROWS),
            "Int64": generator.integers(0, 100, CHUNK_ROWS),
            "Bool": generator.random(CHUNK_ROWS) < 0.5,
            "String": arrow.array(["DSL", "Fiber optic", None]).take(generator.integers(0, 3, CHUNK_ROWS)),
        }
        keys = np.char.zfill(np.arange(start, start + CHUNK_ROWS).astype("U10"), 10)
        yield arrow.table({name: keys if name == "user_id" else draws[kind] for name, kind in types.items()})


MEASUREMENTS = {"by hand": by_hand, "AsOf": ours, "stream": stream}


def main(who: str, size: str) -> None:
    # Imports are not measured.
    import feast.infra.offline_stores.contrib.postgres_offline_store.postgres
    import feast.infra.online_stores.postgres_online_store.postgres  # noqa: F401

    import benchmarks.offline.by_hand  # noqa: F401
    import training.features.datasets.dataset  # noqa: F401

    settings = Settings()
    export(settings)
    begun = perf_counter()
    digest = MEASUREMENTS[who](settings, int(size))
    seconds = perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(seconds, 2), "peak_mib": round(peak), "digest": digest()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
