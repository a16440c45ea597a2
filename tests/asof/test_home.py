"""ASOF_HOME: accessible to its owner only, whatever the umask, or an error with the next step."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from asof.errors import ConfigurationError
from asof.home import RESERVED_CHARACTERS, prepare_home, private_file, private_folder
from asof.settings import Settings


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct, autouse=True)
def umask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def home(path: Path) -> Settings:
    return Settings(_env_file=None, home=path)


def test_a_new_home_is_its_owners_and_prefect_finds_its_folder(tmp_path: Path) -> None:
    prepare_home(home(tmp_path / "a" / "home"))
    found = {path.name: mode(path) for path in (tmp_path / "a" / "home").rglob("*")}
    assert found == {"prefect": 0o700, "prefect.db": 0o600}
    assert mode(tmp_path / "a" / "home") == 0o700


def test_an_existing_home_is_restricted_with_its_content(tmp_path: Path) -> None:
    for name in ("run", "prefect", "extracts"):
        (tmp_path / name).mkdir()
    for name in ("postgres.lock", "prefect/prefect.db", "extracts/users.csv"):
        (tmp_path / name).touch()
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    (tmp_path / "link").symlink_to("/etc")
    before = mode(Path("/etc"))
    prepare_home(home(tmp_path))
    assert {mode(path) for path in (tmp_path, *(tmp_path / name for name in ("run", "prefect", "extracts")))} == {0o700}
    assert {mode(tmp_path / name) for name in ("postgres.lock", "prefect/prefect.db")} == {0o600}
    assert mode(Path("/etc")) == before


def test_what_an_owner_may_not_do_stays_so_and_what_was_written_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "file").chmod(0o444)
    assert mode(private_folder(tmp_path / "folder")) == 0o700
    prepare_home(home(tmp_path))
    assert (mode(tmp_path / "file"), (tmp_path / "file").read_text()) == (0o400, "kept")
    assert private_file(tmp_path / "new").read_bytes() == b""


@pytest.mark.parametrize("bad", [*sorted(RESERVED_CHARACTERS), "\n", "\x7f"])
def test_a_path_that_a_platform_rejects_is_an_error_before_it_is_created(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ConfigurationError, match="set ASOF_HOME to a folder without it") as raised:
        prepare_home(home(tmp_path / f"ho{bad}me"))
    assert repr(bad) in str(raised.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("below", ["file", "file/home", "/proc/home", "/dev/null/home"])
def test_an_unusable_home_is_an_error_with_the_next_step(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ConfigurationError, match=r"cannot be written \(.+\): free disk space, change its owner"
    ) as raised:
        prepare_home(home(tmp_path / below))
    assert str(tmp_path / below) in str(raised.value)


def test_prefects_home_is_made_where_it_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "of" / "prefect"))
    prepare_home(home(tmp_path / "home"))
    assert mode(tmp_path / "of" / "prefect" / "prefect.db") == 0o600
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "per%cent"))
    with pytest.raises(ConfigurationError, match="set PREFECT_HOME to a folder without it"):
        prepare_home(home(tmp_path / "home"))


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> object:
        return open("/dev/full", "wb")  # noqa: PTH123 - as tempfile gives one

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        prepare_home(home(tmp_path))
