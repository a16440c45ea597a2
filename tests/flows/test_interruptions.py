"""Ctrl-C and SIGTERM in the middle of each command's work: an exit code, what is kept, and nothing half done."""

import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import psycopg
import pytest

from asof.settings import PROJECT
from simulator import SimulationPlan, simulate
from tests.kits.models.scoring import Scene
from training.tracking.client import open_tracking

INT, TERM = signal.SIGINT, signal.SIGTERM
RUN_AGAIN = "Run the command again to finish."


def interrupted(world: dict[str, str], words: str, step: str, number: signal.Signals) -> list[str]:
    """Signals the command at a step of its work; the lines of stderr after that. The exit code is the shell's."""
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "flows", *words.split(), "--verbose"]
    with subprocess.Popen(
        command, cwd=PROJECT, env=world, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        signal.signal(signal.SIGINT, ours)
        assert process.stderr
        seen = []
        for line in process.stderr:
            seen.append(line)
            if step in line:
                break
        else:
            raise AssertionError(f"{step!r} was never reported: {seen}")
        process.send_signal(number)
        rest = process.stderr.read().splitlines()
        assert process.wait(60) == 128 + number, rest
    return rest


@pytest.mark.parametrize(
    ("words", "step", "number", "kept"),
    [
        ("inspect churn 2024-03-31", "entities", INT, "interrupted while inspecting: " + RUN_AGAIN),
        ("parity churn", "users compared", TERM, "interrupted while comparing: " + RUN_AGAIN),
        ("promote churn {version} --dry-run", "judging", INT, "completed by the next promotion or rollback."),
        ("reproduce churn {version}", "training set", TERM, "interrupted while reproducing: " + RUN_AGAIN),
        ("score churn --version {version}", "users scored", INT, "the same command scores the others."),
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
