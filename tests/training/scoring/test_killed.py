"""kill -9, a lost server, and two at once: each user is scored once, and the same command finishes what is left."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest

from asof.errors import ScoringError
from asof.inference.verdicts import Policy
from tests.kits.data.history import History
from tests.kits.models import scoring as kit
from tests.kits.models.scoring import AS_OF, CHUNK, CHURN, Kill, Scene, begun, timeless
from training.data.snapshots.reading.copy_query import copy_rows
from training.data.snapshots.snapshot import take_snapshot
from training.ranges.run import TRIES
from training.scoring.parquet import MANIFEST
from training.scoring.postgres import PostgresWriter
from training.scoring.reading import FeatureSources, read_features

TO_POSTGRES, TO_PARQUET = "postgres", "parquet"


def asked(scene: Scene, to: str, known_at: datetime | None) -> dict[str, Any]:
    return {"version": scene.versions["churn_v2"].version, "as_of": AS_OF, "to": to, "known_at": known_at}


def written(scene: Scene, to: str) -> list[dict[str, Any]]:
    """What a run has left, without the moments at which its chunks were scored."""
    if to == TO_POSTGRES:
        return timeless(kit.kept(scene.settings))
    return timeless([row for part in kit.parts(Path(to)) for row in part])


def wiped(scene: Scene, to: str, folder: Path) -> str:
    """An empty target for a new run."""
    if to == TO_PARQUET:
        return str(folder / str(len(list(folder.iterdir()))))
    with psycopg.connect(scene.settings.conninfo()) as connection:
        if connection.execute("SELECT to_regclass('scored_users')").fetchone() != (None,):
            connection.execute("TRUNCATE scored_users, scoring_ranges, scoring_runs")
    return TO_POSTGRES


@pytest.mark.parametrize("after", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["before", "after"])
@pytest.mark.parametrize("to", [TO_POSTGRES, TO_PARQUET])
def test_killed_at_each_step_the_same_command_finishes_it(
    copy_of_scene: Scene, tmp_path: Path, to: str, after: bool
) -> None:
    scene, known_at = copy_of_scene, datetime.now(UTC)
    place = wiped(scene, to, tmp_path)
    scene.score(known_at=known_at, to=place)
    undisturbed, left = written(scene, place), []
    for step in range(100):
        place = wiped(scene, to, tmp_path)
        with begun(scene.settings, asked(scene, place, known_at), Kill(step, after)) as (child, pipe):
            kit.steps_until_exit(pipe)
            child.join()
            assert child.exitcode in (0, -signal.SIGKILL)
        if child.exitcode == 0:
            break
        left.append(len(written(scene, place)))
        assert written(scene, place) == undisturbed[: left[-1]]
        done = scene.score(known_at=known_at, to=place)
        assert done.new == len(undisturbed) - left[-1]
        assert written(scene, place) == undisturbed
        assert done.tally.scored == len(undisturbed)
    assert {CHUNK, 2 * CHUNK, len(undisturbed)} <= set(left)
    assert after or 0 in left


def test_a_run_goes_on_with_what_was_known_when_it_was_begun(copy_of_scene: Scene) -> None:
    scene = copy_of_scene
    with begun(scene.settings, asked(scene, TO_POSTGRES, None), Kill(3, after=False)) as (child, pipe):
        kit.steps_until_exit(pipe)
        child.join()
    (run,) = kit.runs(scene.settings)
    assert (run["state"], run["scored"]) == ("unfinished", CHUNK)
    done = scene.score()
    (finished,) = kit.runs(scene.settings)
    assert done.run.known_at == run["known_at"] == finished["known_at"]
    assert {row["known_at"] for row in kit.kept(scene.settings)} == {run["known_at"]}
    assert (finished["state"], finished["scored"]) == ("complete", len(scene.everybody()))


def stopped(scene: Scene, to: str) -> None:
    """A run that has come as far as its first range."""

    def stop(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scene.score(to=to, progress=stop)
    assert len(written(scene, to)) == CHUNK


@pytest.mark.parametrize("to", [TO_POSTGRES, TO_PARQUET])
def test_a_run_does_not_go_on_over_rows_that_a_backfill_slipped_under_it(
    copy_of_scene: Scene, history: History, tmp_path: Path, to: str
) -> None:
    scene, place = copy_of_scene, to if to == TO_POSTGRES else str(tmp_path / "scores")
    stopped(scene, place)
    late = AS_OF - timedelta(days=5)
    take_snapshot(
        scene.settings, CHURN.extract, history.deliveries[0].folder, as_of=late, known_at=late + timedelta(days=1)
    )
    with pytest.raises(ScoringError, match=r"cannot go on: .* 1 more loads count as known by then"):
        scene.score(to=place)
    assert len(written(scene, place)) == CHUNK
    anew = scene.score(to=place, known_at=datetime.now(UTC))
    assert anew.new == len(scene.everybody())


def test_a_run_does_not_go_on_with_other_policies_than_it_was_begun_with(
    copy_of_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(copy_of_scene, TO_POSTGRES)

    def lenient(*given: Any) -> FeatureSources:
        features = read_features(*given)
        return replace(features, policies=[Policy(None, refuses=False) for _ in features.policies])

    monkeypatch.setattr("training.scoring.work.read_features", lenient)
    with pytest.raises(ScoringError, match=r"cannot go on: .* another source or policy"):
        copy_of_scene.score()
    monkeypatch.undo()
    copy_of_scene.score()
    assert len(kit.kept(copy_of_scene.settings)) == len(copy_of_scene.everybody())


@pytest.mark.parametrize("gone", ["part-00000.parquet", "part-00002.parquet"])
def test_parts_of_which_one_is_gone_are_neither_complete_nor_overwritten(
    copy_of_scene: Scene, tmp_path: Path, gone: str
) -> None:
    copy_of_scene.score(to=str(tmp_path))
    (part,) = tmp_path.glob(f"*/{gone}")
    part.unlink()
    before = {path: path.read_bytes() for path in tmp_path.glob("*/*")}
    with pytest.raises(ScoringError, match="a part is gone"):
        copy_of_scene.score(to=str(tmp_path))
    assert {path: path.read_bytes() for path in tmp_path.glob("*/*")} == before
    part.write_bytes(b"PAR1")
    with pytest.raises(ScoringError, match=f"{gone} cannot be read"):
        copy_of_scene.score(to=str(tmp_path))


@pytest.mark.parametrize("to", [TO_POSTGRES, TO_PARQUET])
def test_of_two_at_once_one_works_and_the_other_says_so(copy_of_scene: Scene, tmp_path: Path, to: str) -> None:
    scene, place = copy_of_scene, to if to == TO_POSTGRES else str(tmp_path)
    others: list[str] = []

    def meanwhile(_: str) -> None:
        if not others:
            with pytest.raises(ScoringError, match="Another run is scoring streamflow_churn version") as refused:
                scene.score(to=place)
            others.append(str(refused.value))

    done = scene.score(to=place, progress=meanwhile)
    assert others
    assert done.new == len(written(scene, place)) == len(scene.everybody())


def test_of_two_at_once_one_works_wherever_each_reads_its_clock(copy_of_scene: Scene) -> None:
    elsewhere = AS_OF.astimezone(timezone(timedelta(hours=9)))
    others: list[ScoringError] = []

    def meanwhile(_: str) -> None:
        if not others:
            with pytest.raises(ScoringError, match="Another run is scoring") as refused:
                copy_of_scene.score(as_of=elsewhere)
            others.append(refused.value)

    copy_of_scene.score(progress=meanwhile)
    assert others
    assert len(kit.runs(copy_of_scene.settings)) == 1


READING, WRITING = "query LIKE 'COPY (%'", "query LIKE '%scoring_ranges%' OR query LIKE '%COPY public.scored_users%'"


def end(scene: Scene, which: str) -> None:
    """Ends connections to this database as an administrator would, or a server that goes down."""
    with psycopg.connect(scene.settings.conninfo()) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = current_database() AND pid <> pg_backend_pid() AND ({which})"
        ).fetchall()
    assert ended


def lose(scene: Scene, which: str, times: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ends these connections in the middle of a range, from the second on, so many times; returns the losses."""
    lost: list[int] = []

    def copied(*given: Any) -> Iterator[Any]:
        for table in copy_rows(*given):
            yield table
            calls.append(1)
            if len(calls) > 1 and len(lost) < times:
                lost.append(1)
                end(scene, which)

    calls: list[int] = []
    monkeypatch.setattr("training.scoring.reading.copy_rows", copied)
    return lost


@pytest.mark.parametrize("which", [READING, WRITING])
def test_a_range_that_loses_the_server_is_scored_again(
    copy_of_scene: Scene, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = lose(copy_of_scene, which, TRIES - 1, monkeypatch)
    copy_of_scene.score()
    assert len(lost) == TRIES - 1
    assert [row["entity"] for row in kit.kept(copy_of_scene.settings)] == copy_of_scene.everybody()


@pytest.mark.parametrize("which", [READING, WRITING])
def test_a_server_that_stays_lost_is_reported_and_the_same_command_continues(
    copy_of_scene: Scene, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = copy_of_scene
    lose(scene, which, TRIES, monkeypatch)
    with pytest.raises(ScoringError, match=rf"Range 1 failed 3 times .*: {CHUNK} users are scored and kept\. Run the"):
        scene.score()
    assert len(kit.kept(scene.settings)) == CHUNK
    assert [run["state"] for run in kit.runs(scene.settings)] == ["unfinished"]
    done = scene.score()
    assert done.new == len(scene.everybody()) - CHUNK
    assert [run["state"] for run in kit.runs(scene.settings)] == ["complete"]
    assert [row["entity"] for row in kit.kept(scene.settings)] == scene.everybody()


def test_a_user_cannot_be_scored_twice_in_one_run(copy_of_scene: Scene) -> None:
    copy_of_scene.score()
    with (
        psycopg.connect(copy_of_scene.settings.conninfo()) as connection,
        pytest.raises(psycopg.errors.UniqueViolation),
    ):
        connection.execute("INSERT INTO scored_users SELECT * FROM scored_users LIMIT 1")


def test_rows_and_tally_of_a_range_are_kept_together(copy_of_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    finish = PostgresWriter._finish

    def fails(writer: PostgresWriter, connection: Any, number: int, tally: Any) -> None:
        if number > 0:
            raise OSError("the disk is full")
        finish(writer, connection, number, tally)

    monkeypatch.setattr(PostgresWriter, "_finish", fails)
    with pytest.raises(ScoringError, match=f"disk is full.*: {CHUNK} users are scored and kept"):
        copy_of_scene.score()
    assert len(kit.kept(copy_of_scene.settings)) == CHUNK
    monkeypatch.undo()
    copy_of_scene.score()
    assert len(kit.kept(copy_of_scene.settings)) == len(copy_of_scene.everybody())


def test_a_part_that_was_being_written_counts_for_nothing(copy_of_scene: Scene, tmp_path: Path) -> None:
    with begun(copy_of_scene.settings, asked(copy_of_scene, str(tmp_path), None), Kill(2, after=False)) as (
        child,
        pipe,
    ):
        kit.steps_until_exit(pipe)
        child.join()
    (half,) = tmp_path.glob("*/.part-00001.parquet.*")
    half.write_bytes(half.read_bytes()[:100])
    assert not list(tmp_path.glob(f"*/{MANIFEST}"))
    copy_of_scene.score(to=str(tmp_path))
    assert [row["entity"] for part in kit.parts(tmp_path) for row in part] == copy_of_scene.everybody()
    assert not half.exists()
