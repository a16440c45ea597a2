"""The folder of a following service: the next service reuses it, and two services never share one."""

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
from asof.serving.following.follower import follow_error
from asof.serving.following.mlflow_registry import ProductionVersion
from asof.serving.following.model_cache import MAX_MODELS, ModelCache, Refusal
from asof.serving.following.shared_folder import PREFIX, PRODUCTION

HOLD = """
import sys
from pathlib import Path
from asof.serving.following.shared_folder import make_folder
print(make_folder(Path(sys.argv[1]) if sys.argv[1] else None, sys.argv[2]), flush=True)
sys.stdin.read()
"""


class Service:
    """A process that holds a folder while it runs."""

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
    return ProductionVersion(version=str(number), run_id=f"{number:032d}", source="models:/m-1")


def put(cache: ModelCache, added: ProductionVersion, at: float) -> None:
    """Adds a model with that modification time."""
    cache.add(cache.draft(), added)
    os.utime(cache.model(added), (at, at))


def refusal(refused: ProductionVersion) -> Refusal:
    now = datetime.now(UTC)
    return Refusal(version=refused.version, run_id=refused.run_id, step="trust", why="not signed", at=now)


@pytest.mark.parametrize("kill", [False, True])
def test_the_next_service_reuses_all_but_the_refusals(kill: bool, tmp_path: Path) -> None:
    before = Service(tmp_path)
    cache = ModelCache(before.folder)
    put(cache, version(1), 1)
    cache.record_seen(version(2))
    cache.record_served(version(1))
    cache.refuse(refusal(version(2)))
    assert cache.is_refused(version(2))
    (cache.draft() / "half").touch()
    before.end(kill=kill)

    after = Service(tmp_path)
    assert after.folder == before.folder
    reused = ModelCache(after.folder)
    seen, served = reused.seen(), reused.served()
    assert seen
    assert seen.version == version(2)
    assert served
    assert (served.version, served.run_id) == ("1", version(1).run_id)
    assert reused.model(served).is_dir()
    assert reused.refusals() == []
    assert not reused.is_refused(version(2))
    assert not (after.folder / "draft").exists()
    after.end()


def test_services_have_separate_folders_for_each_model(tmp_path: Path) -> None:
    services = [Service(tmp_path), Service(tmp_path), Service(tmp_path, "cancer")]
    assert [each.folder for each in services] == [tmp_path / place for place in ("churn/0", "churn/1", "cancer/0")]
    assert all(each.folder.stat().st_mode & 0o777 == 0o700 for each in services)
    for each in services:
        each.end()


def test_the_free_folder_with_the_newest_record_is_reused(tmp_path: Path) -> None:
    services = [Service(tmp_path) for _ in range(3)]
    for each, moment in zip(services, (1, 3, 2), strict=True):
        ModelCache(each.folder).record_seen(version(moment))
        os.utime(each.folder / PRODUCTION, (moment, moment))
    for each in services:
        each.end()
    again = [Service(tmp_path) for _ in range(3)]
    assert [each.folder.name for each in again] == ["1", "2", "0"]
    assert len(list((tmp_path / "churn").iterdir())) == 3
    for each in again:
        each.end()


def test_a_temporary_folder_is_removed_by_its_service_or_by_the_next_one() -> None:
    ended, killed = Service(""), Service("")
    assert ended.folder != killed.folder
    assert ended.folder.name.startswith(f"{PREFIX}{ended.process.pid}-")
    ended.end()
    killed.end(kill=True)
    assert [ended.folder.exists(), killed.folder.exists()] == [False, True]
    Service("").end()
    assert not killed.folder.exists()


def test_a_file_among_the_folders_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "churn").mkdir()
    (tmp_path / "churn" / ".DS_Store").touch()
    service = Service(tmp_path)
    assert service.folder == tmp_path / "churn" / "0"
    service.end()


def test_files_of_others_in_the_temporary_folder_do_not_stop_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / f"{PREFIX}0-x").symlink_to("/nowhere")
    service = Service("")
    assert service.folder.parent == tmp_path
    service.end()


def test_an_os_error_is_reported_in_the_words_of_the_system() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/kept/production.json.7")
    assert follow_error(full) == "Following failed (OSError: No space left on device)."
    assert follow_error(KeyError("x")) == "Following failed (KeyError)."
    assert follow_error(RegistryUnavailable("The registry is away.")) == "The registry is away."


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
def test_an_incomplete_or_unknown_record_is_ignored(name: str, content: bytes, tmp_path: Path) -> None:
    cache = ModelCache(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert cache.seen() is cache.served() is None
    cache.record_seen(version(1))
    assert cache.seen()


def test_the_served_model_stays_in_the_cache_however_old_it_is(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path)
    put(cache, version(1), 1)
    put(cache, version(2), 2)
    cache.record_served(version(1))
    for number in range(3, MAX_MODELS + 2):
        put(cache, version(number), number)
    assert cache.served()
    assert not cache.model(version(2)).exists()
    assert len(list((tmp_path / "models").iterdir())) == MAX_MODELS


def test_a_removed_model_is_not_the_served_one(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path)
    put(cache, version(1), 1)
    cache.record_served(version(1))

    async def forget() -> None:
        async with cache.lock():
            cache.remove(version(1))

    asyncio.run(forget())
    assert cache.served() is None
