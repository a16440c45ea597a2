"""For tests of ranges: a few thousand users and a version that scores them, and workers that are lost in the middle."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
from pyarrow import parquet

from asof.settings import Settings, export
from asof.use_cases import load
from benchmarks.offline.history import last_day, write_history
from tests.kits.service import serving as serving_kit
from training.features.materialisation.feature_registry import apply_features
from training.release.registry.versions import ModelVersion
from training.scoring.score import Scoring, score_users

CHURN = load("churn")
MONTHS = 2
TIMEOUT = 120
SCORES, SOURCE = ("public.scored_users", "SHARE"), ("public.usage_agg_30d", "ACCESS EXCLUSIVE")
"""Locks at which a worker waits: between the claim and the rows of a range, and before it reads one."""
AS_OF = datetime.combine(last_day(MONTHS - 1), datetime.min.time(), UTC)


@dataclass(frozen=True)
class Crowd:
    """`users` users, to be scored in ranges of `size`."""

    settings: Settings
    version: ModelVersion
    users: int
    size: int

    @property
    def known_at(self) -> datetime:
        """After every correction of the history."""
        return datetime(2024, 1, 1, tzinfo=UTC)

    def score(self, engine: str, to: str, settings: Settings | None = None, **given: Any) -> Scoring:
        own = (settings or self.settings).model_copy(update={"engine": engine})
        asked = {"version": self.version.version, "as_of": AS_OF, "known_at": self.known_at, "range_users": self.size}
        return score_users(own, CHURN, to=to, **asked | given)


def make_crowd(settings: Settings, *, users: int, size: int) -> Crowd:
    """Fills an empty database, and registers the small model."""
    export(settings)
    write_history(settings, users=users, months=MONTHS)
    apply_features(settings)
    version, _ = serving_kit.register_small_model(settings, serving_kit.registered_contract(settings))
    return Crowd(settings, version, users, size)


def entities(folder: Path) -> list[str]:
    """Those in the parts of the one run in a folder, in order."""
    tables = [parquet.read_table(part, columns=["entity"]) for part in sorted(folder.glob("*/part-*.parquet"))]
    return sorted(entity for table in tables for entity in table["entity"].to_pylist())


@contextmanager
def lost_in_the_middle(
    settings: Settings, lock: tuple[str, str], lose: Callable[[], None], *, waiting: int = 1
) -> Iterator[Callable[[], None]]:
    """Gives what takes the lock. Once so many workers wait for it, `lose` is called, and the lock is released."""
    (table, mode), lost = lock, list[bool]()
    count = "SELECT count(*) FROM pg_locks WHERE relation = to_regclass(%s) AND NOT granted"

    def lose_when_waiting() -> None:
        until = monotonic() + TIMEOUT
        with psycopg.connect(settings.conninfo(), autocommit=True) as watch:
            while (watch.execute(count, (table,)).fetchone() or (0,))[0] < waiting and monotonic() < until:
                sleep(0.01)
        try:
            lose()
            lost.append(True)
        finally:
            holder.rollback()

    with psycopg.connect(settings.conninfo()) as holder:
        thread = threading.Thread(target=lose_when_waiting)

        def begin() -> None:
            holder.execute(f"LOCK TABLE {table} IN {mode} MODE".encode())
            thread.start()

        yield begin
        thread.join()
    assert lost
