"""Where the workers of one service share what they know: a folder for its time alone, or one that is kept.

Below ASOF_FOLLOW_FOLDER each service has a folder of its own, `NAME/0`, `NAME/1` and so on, as long as it lives; what
it leaves there the next one takes up. Two services at once, of one model or of several, have two.
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
"""What was last seen in Production."""
PREFIX = "asof-following-"
OF_ONE_SERVICE = ("refused", "draft")
"""What the next service does not take up: a refusal came of the keys, the code and the store of its time."""


def make_folder(parent: Path | None, name: str) -> Path:
    """The folder of this process and its workers, which serve models of that name.

    Without a parent it is gone when the process ends. Raises ConfigurationError where the parent cannot be used.
    """
    if parent is None:
        return _temporary()
    try:
        (parent / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        return _taken(parent / name)
    except OSError as error:
        raise ConfigurationError(
            f"ASOF_FOLLOW_FOLDER cannot be used ({error}): give {parent} to the user who runs the service."
        ) from error


def _temporary() -> Path:
    """A new one in the system's temporary folder; removes those of processes that were killed."""
    where = Path(tempfile.gettempdir())
    for left in where.glob(f"{PREFIX}*"):
        number = left.name.removeprefix(PREFIX).partition("-")[0]
        if left.lstat().st_uid == os.geteuid() and number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=where))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _taken(parent: Path) -> Path:
    """Of the folders that no other process has, the one with the newest; ours until this process ends."""
    folders = sorted(each for each in parent.iterdir() if each.is_dir())
    free = {folder: lock for folder in folders if (lock := _lock(folder))}
    folder, lock = max(free.items(), key=lambda each: _written(each[0])) if free else _new(parent)
    for other in free.values():
        if other is not lock:
            other.close()
    atexit.register(lock.close)  # and so it stays open until then
    for left in OF_ONE_SERVICE:
        shutil.rmtree(folder / left, ignore_errors=True)
    return folder


def _new(parent: Path) -> tuple[Path, TextIO]:
    for number in itertools.count():
        folder = parent / str(number)
        folder.mkdir(mode=0o700, exist_ok=True)
        if lock := _lock(folder):
            return folder, lock
    raise AssertionError  # there is no end of numbers


def _lock(folder: Path) -> TextIO | None:
    """An open file that keeps others out of the folder; None where another process has it."""
    return try_lock(folder / "owner")


def _written(folder: Path) -> float:
    """When what is in Production was last written down there."""
    try:
        return (folder / PRODUCTION).stat().st_mtime
    except FileNotFoundError:
        return 0.0
