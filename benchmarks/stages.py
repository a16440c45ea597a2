"""One stage of the offline stream in a process of its own -> its seconds and its peak memory, as a line of JSON.

`python -m benchmarks.stages STAGE FOLDER USERS`, with ASOF_POSTGRES_URL set to a database for this run.
"""

import json
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from time import perf_counter

from asof.settings import Settings, export
from asof.use_cases import load

LAST = date(2024, 2, 29)
FIRST = date(2024, 1, 31)


@dataclass(frozen=True)
class Measured:
    """Wall-clock seconds of the call, imports included, and the process's peak resident memory in MiB."""

    stage: str
    users: int
    seconds: float
    peak_mib: float


def simulate(_: Settings, folder: Path, users: int) -> None:
    from simulator import SimulationPlan
    from simulator import simulate as stage

    stage(SimulationPlan(users=users, months=2, last_as_of=LAST), folder)


def snapshot(settings: Settings, folder: Path, _: int) -> None:
    from training.data.extracts.deliveries import find_deliveries
    from training.data.snapshots.snapshot import take_snapshot

    schema = load("churn").extract
    for each in find_deliveries(folder, first=FIRST, backfill=True):
        take_snapshot(settings, schema, each.folder, as_of=each.as_of, known_at=each.known_at)


def materialise(settings: Settings, _: Path, __: int) -> None:
    from training.features.materialisation.feature_registry import apply_features
    from training.features.materialisation.materialise import materialise as stage

    apply_features(settings)
    stage(settings)


def training_set(settings: Settings, _: Path, users: int) -> None:
    from training.features.datasets.dataset import build_training_set, newest_labelled

    use_case = load("churn")
    built = build_training_set(settings, use_case, newest_labelled(settings, use_case))
    if len(built.frame) != users:
        raise AssertionError(f"{len(built.frame)} rows for {users} users")


STAGES: dict[str, Callable[[Settings, Path, int], None]] = {
    "simulate": simulate,
    "snapshot": snapshot,
    "materialise": materialise,
    "training set": training_set,
}


def main(stage: str, folder: str, users: str) -> None:
    settings = Settings()
    export(settings)
    begun = perf_counter()
    STAGES[stage](settings, Path(folder), int(users))
    seconds = perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(asdict(Measured(stage, int(users), round(seconds, 2), round(peak)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
