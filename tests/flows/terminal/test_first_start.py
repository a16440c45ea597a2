"""The jobs of a new stack, as docker-compose.yml starts them: each does its work once."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from asof.settings import PROJECT, Settings


@pytest.fixture(scope="module")
def settings(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """With a home whose path must be quoted for a shell, and in an address."""
    return settings.model_copy(update={"home": tmp_path_factory.mktemp("a home") / "of José's, + more"})


def _job(world: dict[str, str], *words: str, **variables: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "flows.terminal.first_start", *words],
        cwd=PROJECT,
        env={**world, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _loads(settings: Settings) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.conninfo()) as connection:
        return connection.execute("SELECT folder, as_of FROM loads ORDER BY load_id").fetchall()


def test_without_extracts_simulated_ones_are_loaded_once_and_a_version_is_promoted_once(
    world: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    small = {"USERS": "800", "MONTHS": "2"}
    first = _job(world, "ingest", "--folder", str(tmp_path), **small)
    loads = _loads(settings)
    again = _job(world, "ingest", "--folder", str(tmp_path), **small)

    assert first["new_rows"] == {"month_000": 4000, "labels_000": 800, "month_001": 4000}
    assert first["parity"].startswith("0 of ")
    assert "nothing was done" in again["next"]
    assert _loads(settings) == loads

    promoted, kept = _job(world, "train"), _job(world, "train")
    assert (promoted["promoted"], promoted["version"]) == (True, "1")
    assert (kept["promoted"], kept["version"]) == (True, "1")
