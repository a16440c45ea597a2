"""Scoring and training sets by ranges in other processes: the same as here, whatever happens to the processes."""

import multiprocessing
import pickle
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from asof.errors import ConfigurationError, RangeFailed, UntrustedModel, WorkerMismatch
from asof.settings import Settings
from tests.kits.data.parity import database_copy
from tests.kits.models.ranges import AS_OF, CHURN, SCORES, SOURCE, Crowd, entities, lost_in_the_middle, make_crowd
from training.data.snapshots.append import Times
from training.data.snapshots.loads import record_load
from training.features.datasets import point_in_time
from training.features.datasets.dataset import build_training_set
from training.features.materialisation.materialise import materialise
from training.features.parity import check
from training.features.parity.check import check_parity
from training.ranges import engines
from training.ranges.plan import Range, cut_points, ranges_between
from training.ranges.run import each_range
from training.ranges.worker import Task, place_of
from training.scoring import postgres, score
from training.scoring.work import ScoreRange


@pytest.fixture(scope="module")
def crowd(settings: Settings) -> Crowd:
    """3,000 users in six ranges."""
    return make_crowd(settings, users=3_000, size=500)


def kill_all() -> None:
    """Ends all our processes at once, as the kernel does where memory is short."""
    children = multiprocessing.active_children()
    assert children
    for each in children:
        each.kill()


def test_users_are_scored_once_where_the_processes_are_killed_in_the_middle(crowd: Crowd, tmp_path: Path) -> None:
    here = crowd.score("here", str(tmp_path / "here"))
    with psycopg.connect(crowd.settings.conninfo(), autocommit=True) as connection:
        postgres.create_tables(connection)
    with lost_in_the_middle(crowd.settings, SCORES, kill_all) as begin:
        begin()
        there = crowd.score("processes", "postgres")
    assert there.tally == here.tally
    assert (there.new, there.tally.scored) == (crowd.users, crowd.users)
    with psycopg.connect(crowd.settings.conninfo()) as connection:
        rows = connection.execute("SELECT entity FROM scores ORDER BY entity").fetchall()
        tallies = connection.execute("SELECT sum(scored), count(*), count(DISTINCT worker) FROM scoring_ranges")
        scored, ranges, workers = tallies.fetchone() or (0, 0, 0)
    assert [entity for (entity,) in rows] == entities(tmp_path / "here")
    assert (scored, ranges) == (crowd.users, 6)
    assert workers > 0
    assert not multiprocessing.active_children()


@pytest.mark.soak
def test_parquet_by_processes_has_the_same_rows_in_the_same_parts(crowd: Crowd, tmp_path: Path) -> None:
    said: list[str] = []
    done = [crowd.score(engine, str(tmp_path / engine), progress=said.append) for engine in ("here", "processes")]
    assert done[0].tally == done[1].tally
    assert entities(tmp_path / "here") == entities(tmp_path / "processes")
    names = [sorted(each.name for each in tmp_path.glob(f"{engine}/*/*")) for engine in ("here", "processes")]
    assert names[0] == names[1] == ["_SUCCESS", *(f"part-{number:05}.parquet" for number in range(6))]
    assert said[5].startswith("6 of 6 ranges, 3,000 users scored")


@pytest.mark.parametrize("size", [700, 3_000])
def test_the_digest_does_not_depend_on_the_cuts(crowd: Crowd, tmp_path: Path, size: int) -> None:
    digests = {crowd.score("here", str(tmp_path / str(each)), range_users=each).tally.digest for each in (500, size)}
    assert len(digests) == 1


def test_a_training_set_of_ranges_is_the_whole_where_the_processes_are_killed(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_training_set(crowd.settings, CHURN, AS_OF, known_at=crowd.known_at)
    monkeypatch.setattr(point_in_time, "RANGE_USERS", crowd.size)
    here = build_training_set(crowd.settings, CHURN, AS_OF, known_at=crowd.known_at)
    with lost_in_the_middle(crowd.settings, SOURCE, kill_all) as begin:

        def cut_then_lock(*given: Any, **named: Any) -> Any:
            cuts = cut_points(*given, **named)
            begin()
            return cuts

        monkeypatch.setattr(point_in_time, "cut_points", cut_then_lock)
        own = crowd.settings.model_copy(update={"engine": "processes"})
        there = build_training_set(own, CHURN, AS_OF, known_at=crowd.known_at)
    assert whole.fingerprint == here.fingerprint == there.fingerprint
    assert whole.rows_digest == here.rows_digest == there.rows_digest
    assert whole.frame.equals(there.frame)


def test_parity_of_ranges_is_that_of_the_whole(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where corrections that came later differ from what is online."""
    files = {table.file: {"new_rows": crowd.users} for table in CHURN.extract.tables}
    with psycopg.connect(crowd.settings.conninfo()) as connection:
        record_load(connection, None, Times(as_of=AS_OF, known_at=AS_OF), files)
    materialise(crowd.settings, as_of=AS_OF)
    moments = {"as_of": AS_OF, "known_at": datetime(2023, 2, 28, 12, tzinfo=UTC)}
    whole = check_parity(crowd.settings, CHURN, **moments)
    monkeypatch.setattr(check, "RANGE_USERS", crowd.size)
    on_both = [crowd.settings.model_copy(update={"engine": engine}) for engine in ("here", "processes")]
    assert [check_parity(each, CHURN, **moments) for each in on_both] == [whole, whole]
    assert whole.users == crowd.users
    assert 0 < whole.differing_users < crowd.users
    assert whole.examples


def test_a_worker_without_the_signers_key_scores_nobody(crowd: Crowd, tmp_path: Path) -> None:
    sent: list[ScoreRange] = []

    def kept(settings: Settings, work: ScoreRange, ranges: list[Range]) -> Any:
        sent.append(pickle.loads(pickle.dumps(work)))
        return each_range(settings, work, ranges)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "each_range", kept)
        crowd.score("here", str(tmp_path))
    stranger = crowd.settings.model_copy(update={"trusted_keys": "A" * 43 + "="})
    before = sorted(tmp_path.rglob("*"))
    (part,) = ranges_between([], as_of=AS_OF, known_at=crowd.known_at)
    with pytest.raises(UntrustedModel):
        sent[0](stranger, replace(part, number=77))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_worker_with_other_code_or_another_database_refuses(
    crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place_of(crowd.settings)
    with database_copy(crowd.settings) as other, pytest.raises(WorkerMismatch, match="reads another database"):
        Task(print, here)(other, ranges_between([], as_of=AS_OF, known_at=AS_OF)[0])  # type: ignore[arg-type]
    elsewhere = replace(here, code="f" * 64, commit="an older one")
    monkeypatch.setattr(engines, "place_of", lambda _: elsewhere)
    with pytest.raises(WorkerMismatch, match=r"runs other code .*, not an older one"):
        crowd.score("processes", str(tmp_path))
    assert not list(tmp_path.rglob("part-*"))


def failing(_: Settings, part: Range) -> int:
    if part.number == 2:
        raise OSError("the disk is full")
    return part.number


def test_a_range_that_fails_everywhere_is_named_and_the_others_are_kept(crowd: Crowd) -> None:
    ranges = ranges_between(["a", "b", "c"], as_of=AS_OF, known_at=AS_OF)
    done: list[int] = []
    with pytest.raises(RangeFailed, match=r"Range 2 failed 3 times \(OSError: the disk is full\)"):
        done.extend(result for _, result in each_range(crowd.settings, failing, ranges))
    assert done == [0, 1]


def test_an_unknown_cluster_is_reported(crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"setup\.sh requirements/ray\.txt"):
        crowd.score("ray", str(tmp_path))
