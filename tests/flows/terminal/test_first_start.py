"""The jobs of a new stack, as docker-compose.yml starts them: each does its work once."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from asof.settings import PROJECT, Settings
from flows.terminal.first_start import app
from tests.kits.machine.terminal import Done, call_flows


@pytest.fixture(scope="module")
def settings(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """With a home whose path must be quoted for a shell, and in an address."""
    return settings.model_copy(update={"home": tmp_path_factory.mktemp("a home") / "of José's, + more"})


def _job(world: dict[str, str], *words: str) -> dict[str, Any]:
    """The result of a job in a process of its own."""
    command = [sys.executable, "-m", "flows.terminal.first_start", *words]
    done = subprocess.run(command, cwd=PROJECT, env=world, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return _last_json(done)


def _last_json(done: Done) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _again(world: dict[str, str], *words: str) -> dict[str, Any]:
    """The same in this process."""
    done = call_flows(world, *words, program=app)
    assert done.returncode == 0, done.stderr
    return _last_json(done)


def _loads(settings: Settings) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.conninfo()) as connection:
        return connection.execute("SELECT folder, as_of FROM loads ORDER BY load_id").fetchall()


def test_without_extracts_simulated_ones_are_loaded_once_and_a_version_is_promoted_once(
    world: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    small = {**world, "USERS": "800", "MONTHS": "2"}
    first = _job(small, "ingest", "--folder", str(tmp_path))
    loads = _loads(settings)
    again = _again(small, "ingest", "--folder", str(tmp_path))

    assert first["new_rows"] == {"month_000": 4000, "labels_000": 800, "month_001": 4000}
    assert first["parity"].startswith("0 of ")
    assert "nothing was done" in again["next"]
    assert _loads(settings) == loads

    promoted, kept = _again(world, "train", "churn"), _again(world, "train", "churn")
    assert (promoted["promoted"], promoted["version"]) == (True, "1")
    assert (kept["promoted"], kept["version"]) == (True, "1")
