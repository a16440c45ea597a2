"""Ctrl-C and SIGTERM in the middle of each command's work: an exit code, what is kept, and nothing half done."""

import signal
from datetime import date
from pathlib import Path

import psycopg
import pytest

from simulator import SimulationPlan, simulate
from tests.kits.machine.interruptions import interrupted
from tests.kits.machine.terminal import call_flows
from tests.kits.models.scoring import Scene
from training.tracking.client import open_tracking

INT, TERM = signal.SIGINT, signal.SIGTERM
RUN_AGAIN = "Run the command again to finish."


@pytest.mark.parametrize(
    ("words", "step", "number", "kept"),
    [
        ("inspect churn 2024-03-31", "entities", INT, "interrupted while inspecting: " + RUN_AGAIN),
        ("parity churn", "users compared", TERM, "interrupted while comparing: " + RUN_AGAIN),
        ("promote churn {version} --dry-run", "judging", INT, "completed by the next promotion or rollback."),
        ("reproduce churn {version}", "training set", TERM, "interrupted while reproducing: " + RUN_AGAIN),
        # The users scored are reported when all of so few are done.
        ("score churn --version {version}", "this run is not recorded", INT, "the same command scores the others."),
    ],
)
def test_an_interrupted_command_says_what_is_kept(
    world: dict[str, str], scene: Scene, words: str, step: str, number: signal.Signals, kept: str
) -> None:
    version = scene.versions["churn_v2"].version
    lines = interrupted(world, words.format(version=version), step, number)
    assert lines[-1].endswith(kept)


@pytest.mark.parametrize("number", [INT, TERM], ids=lambda number: number.name)
def test_an_interrupted_ingest_keeps_whole_deliveries(
    world: dict[str, str], scene: Scene, tmp_path: Path, number: signal.Signals
) -> None:
    plan = SimulationPlan(date(2023, 6 if number is INT else 9, 30), users=400, months=3)
    simulate(plan, tmp_path)
    lines = interrupted(world, f"ingest churn {tmp_path} --as-of {plan.as_of(0)} --backfill", "labels_000", number)
    assert lines[-1] == "interrupted while ingesting: Loaded deliveries are kept; the same command loads the others."
    with psycopg.connect(scene.settings.conninfo()) as connection:
        loads = connection.execute(
            "SELECT load_id, as_of, known_at, (files -> 'users.csv' ->> 'new_rows')::int FROM loads"
            " WHERE folder LIKE %s AND files ? 'users.csv'",
            [f"{tmp_path}%"],
        ).fetchall()
        assert 1 <= len(loads) < plan.months
        for _, as_of, known_at, rows in loads:
            counted = "SELECT count(*) FROM users WHERE (as_of, created_at) = (%s, %s)"
            assert connection.execute(counted, [as_of, known_at]).fetchone() == (rows,)


@pytest.mark.parametrize(
    ("step", "number"), [("fitting on", INT), pytest.param("evaluating run", TERM, marks=pytest.mark.soak)]
)
def test_an_interrupted_training_leaves_no_running_run_and_no_version(
    world: dict[str, str], scene: Scene, step: str, number: signal.Signals
) -> None:
    client = open_tracking(scene.settings)
    experiments = [each.experiment_id for each in client.search_experiments()]
    known = {run.info.run_id for run in client.search_runs(experiments)}
    versions = len(client.search_model_versions("name='streamflow_churn'"))
    lines = interrupted(world, "retrain churn", step, number)
    assert lines[-1].startswith("interrupted while training: A run that was begun is marked as failed in MLflow.")
    new = [run for run in client.search_runs(experiments) if run.info.run_id not in known]
    assert {run.info.status for run in new} <= {"FAILED", "FINISHED"}
    assert len(client.search_model_versions("name='streamflow_churn'")) == versions


def test_an_interrupted_switch_of_the_store_changes_nothing_and_can_be_repeated(
    world: dict[str, str], scene: Scene, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    words = f"switch-store churn postgres --file {file}"
    lines = interrupted(world, words, "users compared", TERM)
    kept = "The store in use stays; the same command fills and compares the other again."
    assert lines[-1] == f"interrupted while switching: {kept}"
    assert not file.exists()
    done = call_flows(world, *words.split())
    assert done.returncode == 0, done.stderr
    assert file.read_text() == "ASOF_ONLINE_STORE=postgres\n"
