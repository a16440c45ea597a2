"""The folder of a following service: what the next one finds there, and that two never have the same."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from asof.errors import ConfigurationError, RegistryUnavailable
from asof.serving.following.follower import trouble_of
from asof.serving.following.mlflow_registry import ProductionVersion
from asof.serving.following.model_cache import KEPT, ModelCache, Refusal
from asof.serving.following.shared_folder import PREFIX, PRODUCTION

HOLD = """
import sys
from pathlib import Path
from asof.serving.following.shared_folder import make_folder
print(make_folder(Path(sys.argv[1]) if sys.argv[1] else None, sys.argv[2]), flush=True)
sys.stdin.read()
"""


class Service:
    """A process that has a folder as long as it lives."""

    def __init__(self, parent: Path | str, name: str = "churn") -> None:
        command = [sys.executable, "-c", HOLD, str(parent), name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.folder = Path(self.process.stdout.readline().strip())

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=30)


def version(number: int) -> ProductionVersion:
    return ProductionVersion(str(number), f"{number:032d}", "models:/m-1")


def put(shelf: ModelCache, found: ProductionVersion, at: float) -> None:
    """A model that came at that moment."""
    shelf.keep(shelf.draft(), found)
    os.utime(shelf.model(found), (at, at))


def refusal(found: ProductionVersion) -> Refusal:
    return Refusal(found.version, found.run_id, "trust", "nobody signed it", at=datetime.now(UTC))


@pytest.mark.parametrize("kill", [False, True])
def test_the_next_service_finds_all_but_the_refusals(kill: bool, tmp_path: Path) -> None:
    before = Service(tmp_path)
    shelf = ModelCache(before.folder)
    put(shelf, version(1), 1)
    shelf.saw(version(2))
    shelf.serves("1", version(1).run_id)
    shelf.refuse(refusal(version(2)))
    assert shelf.is_refused(version(2))
    (shelf.draft() / "half").touch()
    before.end(kill=kill)

    after = Service(tmp_path)
    assert after.folder == before.folder
    found = ModelCache(after.folder)
    seen, served = found.seen(), found.served()
    assert seen
    assert seen.version == version(2)
    assert served
    assert (served.version, served.run_id) == ("1", version(1).run_id)
    assert found.model(served).is_dir()
    assert found.refusals() == []
    assert not found.is_refused(version(2))
    assert not (after.folder / "draft").exists()
    after.end()


def test_two_services_have_two_folders_and_two_models_too(tmp_path: Path) -> None:
    services = [Service(tmp_path), Service(tmp_path), Service(tmp_path, "cancer")]
    assert [each.folder for each in services] == [tmp_path / place for place in ("churn/0", "churn/1", "cancer/0")]
    assert all(each.folder.stat().st_mode & 0o777 == 0o700 for each in services)
    for each in services:
        each.end()


def test_of_two_that_are_free_the_one_with_the_newest_is_taken(tmp_path: Path) -> None:
    services = [Service(tmp_path) for _ in range(3)]
    for each, moment in zip(services, (1, 3, 2), strict=True):
        ModelCache(each.folder).saw(version(moment))
        os.utime(each.folder / PRODUCTION, (moment, moment))
    for each in services:
        each.end()
    again = [Service(tmp_path) for _ in range(3)]
    assert [each.folder.name for each in again] == ["1", "2", "0"]
    assert len(list((tmp_path / "churn").iterdir())) == 3
    for each in again:
        each.end()


def test_without_a_parent_the_folder_goes_with_the_service_or_with_the_next_one() -> None:
    ended, killed = Service(""), Service("")
    assert ended.folder != killed.folder
    assert ended.folder.name.startswith(f"{PREFIX}{ended.process.pid}-")
    ended.end()
    killed.end(kill=True)
    assert [ended.folder.exists(), killed.folder.exists()] == [False, True]
    Service("").end()
    assert not killed.folder.exists()


def test_a_file_among_the_folders_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "churn").mkdir()
    (tmp_path / "churn" / ".DS_Store").touch()
    service = Service(tmp_path)
    assert service.folder == tmp_path / "churn" / "0"
    service.end()


def test_what_others_put_into_the_temporary_folder_stops_no_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / f"{PREFIX}0-x").symlink_to("/nowhere")
    service = Service("")
    assert service.folder.parent == tmp_path
    service.end()


def test_what_the_system_refuses_is_told_by_its_own_word() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/kept/production.json.7")
    assert trouble_of(full) == "Following failed (OSError: No space left on device)."
    assert trouble_of(KeyError("x")) == "Following failed (KeyError)."
    assert trouble_of(RegistryUnavailable("The registry is away.")) == "The registry is away."


def test_a_parent_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    from asof.serving.following.shared_folder import make_folder

    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="ASOF_FOLLOW_FOLDER cannot be used"):
        make_folder(tmp_path / "file", "churn")


@pytest.mark.parametrize("name", ["production.json", "served.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"version": ',
        b"\xff\xfe\x00",
        b"[]",
        b'{"of": "another release"}',
        b'{"version": "../../1", "run_id": "/../a"}',
        b'{"version": {"version": "/1", "run_id": "a", "source": ""}, "since": "2026-10-31T00:00:00Z"}',
        b'{"version": {"version": "1", "run_id": "a", "source": ""}, "since": "2026-10-31T00:00:00"}',
    ],
)
def test_what_is_half_written_or_not_of_our_writing_is_not_known(name: str, content: bytes, tmp_path: Path) -> None:
    shelf = ModelCache(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert shelf.seen() is shelf.served() is None
    shelf.saw(version(1))
    assert shelf.seen()


def test_the_model_that_answers_stays_on_the_shelf_however_old_it_is(tmp_path: Path) -> None:
    shelf = ModelCache(tmp_path)
    put(shelf, version(1), 1)
    put(shelf, version(2), 2)
    shelf.serves("1", version(1).run_id)
    for number in range(3, KEPT + 2):
        put(shelf, version(number), number)
    assert shelf.served()
    assert not shelf.model(version(2)).exists()
    assert len(list((tmp_path / "models").iterdir())) == KEPT


def test_a_model_that_is_forgotten_is_not_what_answered_last(tmp_path: Path) -> None:
    shelf = ModelCache(tmp_path)
    put(shelf, version(1), 1)
    shelf.serves("1", version(1).run_id)

    async def forget() -> None:
        async with shelf.alone():
            shelf.forget(version(1))

    asyncio.run(forget())
    assert shelf.served() is None
