"""Exit codes of every command that takes seconds, and with --json one JSON document on stdout and nothing else."""

import json
from typing import Any

import pytest

from tests.kits.data.history import History
from tests.kits.machine.terminal import call_flows, every_command
from tests.kits.models.promotion import always
from tests.kits.models.scoring import Scene
from training.release.promotion.promote import promote

SUCCEEDED, FAILED, WRONG_USE = 0, 1, 2

FAST = {"accept-definition", "keys", "serve", *(f"api-keys {each}" for each in ("add", "list", "remove"))}
"""Commands that only print or edit, and the one that goes on for ever."""
SLOW = sorted(every_command().keys() - FAST)


@pytest.fixture(scope="module")
def places(scene: Scene, history: History, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What words stand for; the version is in Production."""
    promote(scene.settings, scene.versions["churn_v2"], judge=always)
    return {
        "extracts": history.folder,
        "first": history.plan.as_of(0),
        "folder": tmp_path_factory.mktemp("made"),
        "version": scene.versions["churn_v2"].version,
        "other": scene.versions["churn_v1"].version,
        "user": scene.everybody()[0],
    }


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("simulate {folder}/one --users 20 --months 1", SUCCEEDED),
        ("ingest churn {extracts} --as-of {first} --backfill", SUCCEEDED),
        ("ingest churn {folder}", FAILED),
        ("parity churn", SUCCEEDED),
        ("parity churn --as-of 2020-01-31", FAILED),
        ("lake churn --to {folder}/lake", SUCCEEDED),
        ("lake churn --to {folder}/lake --known-at 2100-01-01", FAILED),
        ("switch-store churn wide", FAILED),
        ("inspect churn 2024-03-31 --page {folder}/page.html", SUCCEEDED),
        ("inspect churn 2031-01-31", FAILED),
        ("retrain churn --as-of 2031-01-31", FAILED),
        ("promote churn {version} --dry-run", SUCCEEDED),
        ("promote churn {other} --dry-run", FAILED),
        ("promote churn 99", FAILED),
        ("reproduce churn 99", FAILED),
        ("score churn --as-of 2024-06-15", SUCCEEDED),
        ("score churn --version 99", FAILED),
        ("history churn", SUCCEEDED),
        ("trace churn {version}", FAILED),  # it was trained on made up rows
        ("trace churn 99", FAILED),
        ("bom churn --version {version} --to {folder}/bom.json", SUCCEEDED),
        ("bom churn --version 99", FAILED),
        ("rollback churn --to {version}", SUCCEEDED),
        ("rollback churn", FAILED),
        ("bundle churn --run-id 1 --without-model", FAILED),
        ("image churn --bento churn:1 --engine no-engine", FAILED),
        ("monitor churn", SUCCEEDED),
        ("monitor churn --as-of 2020-01-31", FAILED),
        ("alerts churn --open", SUCCEEDED),
        ("alerts churn --close 00000000-0000-7000-8000-000000000000 --reason known", FAILED),
        ("replay churn no-such-request", FAILED),
        ("report churn --out {folder}/report.html", SUCCEEDED),
        ("audit churn", SUCCEEDED),  # of no answers
        ("audit churn --sample 0", FAILED),
        ("shadow churn", FAILED),  # nothing was scored in shadow
        ("ledger find churn", FAILED),
        ("ledger keep --dry-run --to {folder}", FAILED),  # nothing was kept yet
        ("snapshots keep churn --dry-run", SUCCEEDED),
        ("outcomes load churn {folder}/none.csv", FAILED),
        ("erase churn {user} --dry-run", SUCCEEDED),
        ("databases", FAILED),
        ("doctor nowhere", FAILED),
        ("demo nowhere", FAILED),
        ("up nowhere", FAILED),
        ("new churn --from {extracts} --entity user_id --label churned", FAILED),
    ],
)
def test_a_command_exits_with_its_code_and_prints_one_json_document(
    world: dict[str, str], places: dict[str, Any], words: str, code: int
) -> None:
    done = call_flows(world, *words.format(**places).split(), "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, isinstance(document, dict)) == (code, True), done.stderr
    if "error" in document:
        assert code == FAILED
        assert document["error"] in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", SLOW)
def test_wrong_use_of_a_command_is_code_2_and_one_json_document(world: dict[str, str], name: str) -> None:
    done = call_flows(world, *name.split(), "--json", "--no-such-option")
    assert (done.returncode, json.loads(done.stdout)) == (WRONG_USE, {"error": "No such option: --no-such-option"})
    assert "Usage:" in done.stderr


def test_every_slow_command_has_a_row() -> None:
    (mark,) = test_a_command_exits_with_its_code_and_prints_one_json_document.pytestmark  # type: ignore[attr-defined]
    lines = [words for words, _ in mark.args[1]]
    assert [name for name in SLOW if not any(f"{line} ".startswith(f"{name} ") for line in lines)] == []


@pytest.mark.parametrize(("words", "message"), [("promote churn", "'version'"), ("erase churn", "name an entity")])
def test_a_missing_argument_is_wrong_use_and_the_message_names_it(
    world: dict[str, str], words: str, message: str
) -> None:
    done = call_flows(world, *words.split(), "--json")
    assert done.returncode == WRONG_USE
    assert message in json.loads(done.stdout)["error"]
