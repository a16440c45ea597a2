"""A training set of twelve months of history beside the same join by hand, in turns; and a stream's fingerprint.

`python -m benchmarks.training_sets WHO SIZE`, with ASOF_POSTGRES_URL set to a database that `measure_training_sets`
filled, is one measurement in a process of its own, as a line of JSON.
"""

import json
import resource
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from asof.settings import Settings, export
from asof.use_cases import load
from benchmarks.history import moment, write_history
from benchmarks.processes import run_json

MONTHS = 12
ROUNDS = 3
PEERS = ("by hand", "AsOf")
AS_OF = f"{moment(MONTHS - 1).isoformat()}T00:00:00+00:00"
KNOWN_AT = f"{moment(MONTHS + 1).isoformat()}T00:00:00+00:00"
CHUNK = 50_000


@dataclass(frozen=True)
class Built:
    """Seconds without imports, the process's peak resident memory in MiB, and the digest of what came out."""

    seconds: float
    peak_mib: float
    digest: str


def measure_training_sets(settings: Settings, users: int) -> dict[str, Any]:
    """One line of the table: medians over the rounds, and our seconds as a multiple of those by hand.

    Raises AssertionError where both do not give the same rows.
    """
    from training.features.materialisation.feature_registry import apply_features

    export(settings)
    begun = perf_counter()
    write_history(settings, users=users, months=MONTHS)
    written = perf_counter() - begun
    apply_features(settings)
    seen: dict[str, list[dict[str, Any]]] = {peer: [] for peer in PEERS}
    for _ in range(ROUNDS):
        for peer in PEERS:
            words = ("benchmarks.training_sets", peer, str(users))
            seen[peer].append(run_json(settings.environment(), *words))
    if len(digests := {run["digest"] for runs in seen.values() for run in runs}) != 1:
        raise AssertionError(f"{users} users: {len(digests)} different sets")
    hand, ours = (statistics.median(run["seconds"] for run in seen[peer]) for peer in PEERS)
    return {
        "users": users,
        "rows per table": users * MONTHS,
        "written in s": round(written),
        "by hand s": round(hand, 1),
        "AsOf s": round(ours, 1),
        "of by hand": round(ours / hand, 2),
        "us per user": round(ours / users * 1e6, 1),
        "peak MiB": max(run["peak_mib"] for run in seen["AsOf"]),
    }


def measure_stream(settings: Settings, rows: int) -> dict[str, Any]:
    """The fingerprint of a stream of that many rows in nineteen columns, which exists nowhere as a whole."""
    found = run_json(settings.environment(), "benchmarks.training_sets", "stream", str(rows))
    return {"rows": rows, "columns": 19, "seconds": found["seconds"], "peak MiB": found["peak_mib"]}


def by_hand(settings: Settings, _: int) -> Callable[[], str]:
    from benchmarks.by_hand import joined_by_hand
    from training.features.datasets.rows_digest import TYPES, rows_digest

    rows, frame = joined_by_hand(settings, as_of=AS_OF, known_at=KNOWN_AT)
    assert len(frame) == rows.num_rows
    names = {held: feast_type for feast_type, held in TYPES.items()}
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
    for start in range(0, rows, CHUNK):
        draws = {
            "Float64": generator.random(CHUNK),
            "Int64": generator.integers(0, 100, CHUNK),
            "Bool": generator.random(CHUNK) < 0.5,
            "String": arrow.array(["DSL", "Fiber optic", None]).take(generator.integers(0, 3, CHUNK)),
        }
        keys = np.char.zfill(np.arange(start, start + CHUNK).astype("U10"), 10)
        yield arrow.table({name: keys if name == "user_id" else draws[kept] for name, kept in types.items()})


WORK = {"by hand": by_hand, "AsOf": ours, "stream": stream}


def main(who: str, size: str) -> None:
    # Imports are not what is compared.
    import feast.infra.offline_stores.contrib.postgres_offline_store.postgres
    import feast.infra.online_stores.postgres_online_store.postgres  # noqa: F401

    import benchmarks.by_hand  # noqa: F401
    import training.features.datasets.dataset  # noqa: F401

    settings = Settings()
    export(settings)
    begun = perf_counter()
    digest = WORK[who](settings, int(size))
    seconds = perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(asdict(Built(round(seconds, 2), round(peak), digest()))))


if __name__ == "__main__":
    main(*sys.argv[1:])
