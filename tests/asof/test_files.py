"""Locks keep other processes out, and a file is replaced whole or not at all."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from asof import files
from asof.files import locked, rename_durably, try_lock, write_whole

ELSEWHERE = """
import sys
from pathlib import Path
from asof.files import try_lock
print(bool(try_lock(Path(sys.argv[1]))))
"""


def is_free(path: Path) -> bool:
    """Whether another process gets the lock."""
    done = subprocess.run([sys.executable, "-c", ELSEWHERE, str(path)], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


def test_a_lock_keeps_other_processes_out_until_it_is_closed(tmp_path: Path) -> None:
    lock = try_lock(tmp_path / "lock")
    assert lock
    assert not is_free(tmp_path / "lock")
    lock.close()
    with locked(tmp_path / "lock"):
        assert not is_free(tmp_path / "lock")
    assert is_free(tmp_path / "lock")


def test_a_folder_can_be_locked(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert (tmp_path / "x").write_text("x")


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_with_its_mode_and_nothing_beside_it(tmp_path: Path, durable: bool) -> None:
    file = tmp_path / "file"
    for text, mode in (("old", 0o600), ("new", 0o640)):
        write_whole(file, text, mode=mode, durable=durable)
        assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (text, mode)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "file", "old")
    monkeypatch.setattr(files, "rename_durably", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_whole(tmp_path / "file", "new", durable=True)
    assert (tmp_path / "file").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_durable_rename_syncs_the_content_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft, path = tmp_path / "draft", tmp_path / "file"
    draft.write_text("new")
    synced: list[tuple[Path, bool]] = []

    def fsync(number: int) -> None:
        synced.append((Path(f"/proc/self/fd/{number}").readlink(), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    rename_durably(draft, path)
    assert synced == [(draft, False), (tmp_path, True)]
