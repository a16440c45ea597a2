"""`docker-compose run --rm erasure`: no copy of a user is left, neither in the spool nor in the service's own model."""

import json

import pytest

from tests.containers.stack_kit import Stack

GOLDEN_USERS = """
import json
from asof.settings import Settings
from asof.use_cases import load
from asof.trust.golden_rows import GOLDEN_ROWS, GoldenRows
from training.models.fitting.logged_rows import logged_rows
from training.release.registry.versions import production, verified_version
from training.tracking.client import open_tracking
settings = Settings()
version = production(settings, load("churn"))
rows = logged_rows(open_tracking(settings), version.run_id).to_pylist()
with verified_version(settings, version) as verified:
    golden = GoldenRows.from_json(verified.read(GOLDEN_ROWS)).rows
print(json.dumps([row["user_id"] for row in rows if any(each.items() <= row.items() for each in golden)]))
"""
"""The users whose rows are among the golden rows of the model in Production."""
FILES_WITH = """
import json, sys
from pathlib import Path
files = [path for folder in ("/var/spool/asof", "/var/lib/asof") for path in Path(folder).rglob("*") if path.is_file()]
golden = [len(json.loads(path.read_bytes())["rows"]) for path in files if path.name == "asof_golden_rows.json"]
print(json.dumps([[str(path) for path in files if sys.argv[1].encode() in path.read_bytes()], golden]))
"""
"""The files of the service's volumes that have a text, and how many golden rows each of its models has."""


@pytest.fixture(scope="module")
def user(stack: Stack) -> str:
    """One with a golden row, with features that are not stale by now, and with answers in the spool."""
    found = stack.python("worker-training", GOLDEN_USERS)
    assert found.returncode == 0, found.stderr
    golden = sorted(set(json.loads(found.stdout.splitlines()[-1])) - set(stack.users))
    known: str = next(each for each in golden if stack.predict(each).status_code == 200)
    answers = [stack.predict(known) for _ in range(3)]
    assert {(each.status_code, each.headers["AsOf-Kept"]) for each in answers} == {(200, "process")}
    return known


def _in_volumes(stack: Stack, user: str) -> tuple[list[str], list[int]]:
    done = stack.inside("prediction", "python", "-c", FILES_WITH, user)
    assert done.returncode == 0, done.stderr
    files, golden = json.loads(done.stdout)
    return files, golden


def test_nothing_of_the_user_is_left_in_the_volumes_of_the_service(stack: Stack, user: str) -> None:
    files, golden = _in_volumes(stack, user)
    assert any(each.startswith("/var/spool/asof") for each in files), files

    words = ("run", "--rm", "-T", "erasure", "churn", user, "--reason", "ticket 71", "--yes", "--json")
    done = json.loads(stack.compose(*words).splitlines()[-1])

    assert done["remaining"] == {}
    assert done["copies"]["/var/spool/asof"] >= 3
    assert any(place.startswith("/var/lib/following") for place in done["copies"]), done["copies"]
    left, fewer = _in_volumes(stack, user)
    assert left == []
    assert sum(fewer) < sum(golden)
    assert stack.sql("asof", f"SELECT count(*) FROM ledger.predictions WHERE entity LIKE '%{user}%'") == "0"
    assert stack.predict(user).status_code == 404


def test_the_service_starts_again_with_the_model_that_was_signed_again(stack: Stack, user: str) -> None:
    before = stack.predict().json()["model"]

    stack.compose("restart", "prediction")
    stack.wait_until_ready()

    assert stack.predict().json()["model"] == before
    assert stack.predict().status_code == 200
