"""Everything is backed up, every volume deleted, and the stack is what it was: prediction, history, registry, runs."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from asof.settings import PROJECT
from tests.containers.conftest import Say
from tests.containers.stack_kit import Stack, until


def _script(stack: Stack, name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    variables = {
        **stack.variables,
        "COMPOSE": " ".join(stack.words),
        "ENV_FILE": str(stack.env_file),
        "KEYS": str(stack.keys),
    }
    words = ["sh", f"deploy/{name}.sh", str(folder)]
    return subprocess.run(words, cwd=PROJECT, env=variables, capture_output=True, text=True, timeout=900, check=False)


KEPT = "SELECT count(*) FROM ledger.predictions WHERE request IN ({})"


@pytest.fixture(scope="module")
def requests(stack: Stack) -> list[str]:
    """Answers of just before the backup, which are shipped during it."""
    answers = [stack.predict() for _ in range(20)]
    assert {each.headers["AsOf-Kept"] for each in answers} == {"process"}
    return [each.json()["request_id"] for each in answers]


@pytest.fixture(scope="module")
def backup(stack: Stack, requests: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backups") / "first"
    begun = time.monotonic()
    done = _script(stack, "backup", folder)
    assert done.returncode == 0, done.stderr
    stack.account["backup"] = (
        f"{time.monotonic() - begun:.0f} s, {sum(f.stat().st_size for f in folder.iterdir()) / 1e6:.0f} MB"
    )
    return folder


def _told(stack: Stack) -> dict[str, Any]:
    """What must come back."""
    history = stack.inside("worker-training", "python", "-m", "flows", "history", "churn", "--json")
    assert history.returncode == 0, history.stderr
    answers = [stack.predict(user).json() for user in stack.users[:5]]
    return {
        "answers": [(each["probability"], each["model"], each["as_of"]) for each in answers],
        "history": json.loads(history.stdout.splitlines()[-1]),
        "versions": stack.sql("mlflow", "SELECT version, run_id, current_stage FROM model_versions ORDER BY 1"),
        "alias": stack.sql("mlflow", "SELECT alias, version FROM registered_model_aliases ORDER BY 1"),
        "snapshots": stack.sql("asof", "SELECT as_of, count(*) FROM users GROUP BY 1 ORDER BY 1"),
        "runs": stack.sql("prefect", "SELECT name FROM flow_run WHERE name = 'third-month'"),
    }


def test_nobody_else_may_read_a_backup(backup: Path) -> None:
    assert backup.stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in backup.iterdir())


def test_a_backup_that_was_changed_is_refused(stack: Stack, backup: Path, tmp_path: Path) -> None:
    other = shutil.copytree(backup, tmp_path / "other")
    with (other / "artefacts.tar").open("ab") as file:
        file.write(b"more")

    refused = _script(stack, "restore", other)

    assert refused.returncode == 1
    assert "artefacts.tar: FAILED" in refused.stdout
    assert "nothing was changed" in refused.stderr


def test_a_stack_in_use_is_not_written_over(stack: Stack, backup: Path) -> None:
    before = stack.sql("asof", "SELECT count(*) FROM loads")

    refused = _script(stack, "restore", backup)

    assert refused.returncode == 1
    assert "restore into an empty stack" in refused.stderr
    assert stack.sql("asof", "SELECT count(*) FROM loads") == before


def test_a_model_of_other_keys_is_not_brought_back(stack: Stack, backup: Path, tmp_path: Path) -> None:
    other = tmp_path / "env"
    other.write_text(stack.env_file.read_text().replace("SIGNING_KEY_TEXT=", "SIGNING_KEY_TEXT=x"))
    variables = {**stack.variables, "COMPOSE": " ".join(stack.words), "ENV_FILE": str(other), "KEYS": str(stack.keys)}
    words = ["sh", "deploy/restore.sh", str(backup)]
    refused = subprocess.run(words, cwd=PROJECT, env=variables, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "SIGNING_KEY_TEXT" in refused.stderr
    assert stack.secrets["SIGNING_KEY_TEXT"] not in refused.stderr


def test_after_the_loss_of_every_volume_the_stack_is_what_it_was(
    stack: Stack, backup: Path, requests: list[str], say: Say
) -> None:
    before = _told(stack)
    stack.down()
    say("every volume is gone")

    begun = time.monotonic()
    done = _script(stack, "restore", backup)
    assert done.returncode == 0, done.stdout + done.stderr
    stack.account["restore"] = f"{time.monotonic() - begun:.0f} s"
    say("restored")
    stack.compose("up", "-d", within=1200)
    stack.wait_until_ready(within=600)
    stack.account["wiped, restored and serving again"] = f"{time.monotonic() - begun:.0f} s"

    assert _told(stack) == before
    query = KEPT.format(", ".join(f"'{each}'" for each in requests))
    until(lambda: stack.sql("asof", query) == "20", "each answer of before the backup is in the ledger once")


def test_old_months_are_moved_to_the_archive_by_a_job_of_its_own(stack: Stack) -> None:
    stack.sql("asof", "SELECT ledger.make_partitions('2024-01-01', '2024-01-01')")
    copy = (
        "INSERT INTO ledger.predictions (at, request, model, status) VALUES ('2024-01-05', gen_random_uuid(), 1, 200)"
    )
    stack.sql("asof", copy)
    stack.compose("run", "--rm", "-T", "ledger-keep")
    assert stack.sql("asof", "SELECT rows FROM ledger.exports") == "1"
    assert stack.sql("asof", "SELECT to_regclass('ledger.predictions_2024_01')") == ""
