"""The folder that the workers of one service share: temporary, or kept below ASOF_FOLLOW_FOLDER.

Each running service has its own folder, `NAME/0`, `NAME/1` and so on; the next service reuses the content. NAME is the
registered model's.
"""

import atexit
import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import TextIO

import psutil

from asof.errors import ConfigurationError
from asof.files import try_lock

PRODUCTION = "production.json"
"""The file with the production version that was seen last."""
PREFIX = "asof-following-"
NOT_REUSED = ("refused", "draft")
"""What the next service does not reuse: refusals depend on the keys, code and store of their time."""


def make_folder(parent: Path | None, name: str) -> Path:
    """The folder of this process and its workers for the registered model `name`.

    Without a parent it is removed when the process ends. Raises ConfigurationError where the parent cannot be used.
    """
    if parent is None:
        return _temporary()
    try:
        (parent / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        return _claim(parent / name)
    except OSError as error:
        raise ConfigurationError(
            f"ASOF_FOLLOW_FOLDER cannot be used ({error}): give {parent} to the user who runs the service."
        ) from error


def _temporary() -> Path:
    """A new temporary folder; removes those of killed processes."""
    parent = Path(tempfile.gettempdir())
    for old in parent.glob(f"{PREFIX}*"):
        pid = old.name.removeprefix(PREFIX).partition("-")[0]
        if old.lstat().st_uid == os.geteuid() and pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _claim(parent: Path) -> Path:
    """Locks the free folder with the newest production version, or a new one, until this process ends."""
    folders = sorted(each for each in parent.iterdir() if each.is_dir())
    free = {folder: lock for folder in folders if (lock := _lock(folder))}
    folder, lock = max(free.items(), key=lambda each: _last_write(each[0])) if free else _new(parent)
    for other in free.values():
        if other is not lock:
            other.close()
    atexit.register(lock.close)  # this reference keeps it open
    for name in NOT_REUSED:
        shutil.rmtree(folder / name, ignore_errors=True)
    return folder


def _new(parent: Path) -> tuple[Path, TextIO]:
    for number in itertools.count():
        folder = parent / str(number)
        folder.mkdir(mode=0o700, exist_ok=True)
        if lock := _lock(folder):
            return folder, lock
    raise AssertionError  # the loop does not end


def _lock(folder: Path) -> TextIO | None:
    """The lock of the folder; None where another process holds it."""
    return try_lock(folder / "owner")


def _last_write(folder: Path) -> float:
    """When the production version was last recorded there."""
    try:
        return (folder / PRODUCTION).stat().st_mtime
    except FileNotFoundError:
        return 0.0
