"""Runs one offline stage and prints its seconds and its peak memory as a line of JSON.

`python -m benchmarks.offline.stages STAGE FOLDER USERS`, with ASOF_POSTGRES_URL set to a database for this run.
"""

import json
import resource
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from asof.settings import Settings, export
from asof.use_case import UseCase
from asof.use_cases import load

if TYPE_CHECKING:
    from training.release.registry.versions import ModelVersion

LAST = date(2024, 2, 29)
FIRST = date(2024, 1, 31)


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


def train_version(settings: Settings, estimator: str, use_case: UseCase | None = None) -> "ModelVersion":
    """A registered version of an estimator (default: of churn), trained on the newest labels; no gate has judged it."""
    from training.features.datasets.dataset import build_training_set, newest_labelled
    from training.models.evaluation.evaluate import evaluate
    from training.models.fitting.train import train
    from training.release.registry.register import register

    use_case = use_case or load("churn")
    service = use_case.estimator(estimator).feature_service
    rows = build_training_set(settings, use_case, newest_labelled(settings, use_case), feature_service=service)
    return register(settings, evaluate(settings, train(settings, use_case, rows, estimator=estimator)))


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
    seconds = perf_counter() - begun  # imports included
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"stage": stage, "users": int(users), "seconds": round(seconds, 2), "peak_mib": round(peak)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
