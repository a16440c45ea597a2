"""What the engines cost for a range of 100,000 users, beside the same ranges in one process.

Each engine has one worker, so that none is faster by working on two ranges at once: what is compared is the median time
from the end of one range to that of the next. Starting the workers is measured separately, and so is a range in which
nothing is done: that is what an engine adds, and other work on the machine hides it least.

`python -m benchmarks.offline.ranges ENGINE VERSION USERS`, with ASOF_POSTGRES_URL set to a database that
`measure_ranges` filled, is one measurement in a process of its own, as a line of JSON.
"""

import json
import os
import statistics
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from asof.settings import Settings, export
from asof.use_cases import load
from benchmarks.offline.history import last_day, write_history
from benchmarks.offline.stages import simulate, snapshot, train_version
from benchmarks.processes import run_json

if TYPE_CHECKING:
    from training.ranges.plan import Range

MONTHS, RANGES = 2, 10
TRAINED_ON = 7_043
ENGINES = ("here", "processes", "ray")
AS_OF = datetime.combine(last_day(MONTHS - 1), datetime.min.time(), UTC)
KNOWN_AT = datetime(2024, 1, 1, tzinfo=UTC)


def measure_ranges(models: Settings, settings: Settings, users: int) -> Iterator[dict[str, Any]]:
    """One row for each engine, scoring RANGES ranges of `users` each with the fastest estimator.

    Raises AssertionError where an engine gives another digest.
    """
    from training.features.materialisation.feature_registry import apply_features

    version = _version(models)
    export(settings)
    write_history(settings, users=RANGES * users, months=MONTHS)
    apply_features(settings)
    rows = [
        run_json(settings.environment(), "benchmarks.offline.ranges", each, version, str(users)) for each in ENGINES
    ]
    if len({row["digest"] for row in rows}) > 1:
        raise AssertionError(f"The digests differ: {rows}")
    for row in rows:
        overhead = row["seconds"] / rows[0]["seconds"] - 1
        yield {
            "engine": row["engine"],
            "users": row["users"],
            "s a range": round(row["seconds"], 3),
            "overhead": f"{overhead:+.1%}",
            "ms of a range of nothing": round(1000 * row["idle"], 1),
            "first range after s": round(row["first"], 1),
            "users/s": round(row["users"] / row["whole"]),
            "load average": row["load"],
        }


def _version(settings: Settings) -> str:
    """Trained on as many simulated users as the real extracts have."""
    from training.features.materialisation.feature_registry import apply_features

    export(settings)
    with TemporaryDirectory() as folder:
        simulate(settings, Path(folder) / "extracts", TRAINED_ON)
        snapshot(settings, Path(folder) / "extracts", TRAINED_ON)
    apply_features(settings)
    return train_version(settings, "default").version


def nothing(_: Settings, part: "Range") -> int:
    """A work that is none."""
    return part.number


def _idle(settings: Settings) -> float:
    """Seconds from one range of nothing to the next."""
    from training.ranges.plan import ranges_between
    from training.ranges.run import each_range

    ranges = ranges_between([str(number) for number in range(99)], as_of=AS_OF, known_at=KNOWN_AT)
    return _between([perf_counter() for _ in each_range(settings, nothing, ranges)])


def _between(moments: list[float]) -> float:
    return statistics.median(later - earlier for earlier, later in pairwise(moments))


def main(engine: str, version: str, users: str) -> None:
    from training.ranges import engines
    from training.scoring.score import score_users

    settings = Settings().model_copy(update={"engine": engine})
    export(settings)
    engines.processors = lambda: 1
    if engine == "ray":
        import ray

        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="warning")
    idle = _idle(settings)
    ends, begun = list[float](), perf_counter()
    with TemporaryDirectory() as folder:
        done = score_users(
            *(settings, load("churn")),
            as_of=AS_OF,
            known_at=KNOWN_AT,
            version=version,
            to=folder,
            range_users=int(users),
            progress=lambda _: ends.append(perf_counter()),
        )
    result = {"engine": engine, "users": done.new, "digest": done.tally.digest, "whole": done.seconds}
    times = {"seconds": _between(ends), "idle": idle, "first": ends[0] - begun, "load": round(os.getloadavg()[0], 1)}
    print(json.dumps(result | times))


if __name__ == "__main__":
    main(*sys.argv[1:])
