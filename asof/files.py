"""Files that several processes use: locks that end with their process, and files that are replaced whole."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process has the lock of this file or folder, which must exist; holds it for the block."""
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def try_lock(path: Path) -> TextIO | None:
    """The file, made if it is absent, locked until it is closed; None where another process has the lock."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def write_whole(path: Path, text: str, *, mode: int = 0o600, durable: bool = False) -> None:
    """Writes the file under another name and renames it: readers see the old text or the new one.

    An existing file keeps its owner where we may set it. `durable`: it survives a power cut.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            with suppress(FileNotFoundError, PermissionError):
                before = path.stat()
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), mode)
        rename_durably(draft, path) if durable else draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def rename_durably(draft: Path, path: Path) -> None:
    """Renames a file once its content is on the disk; the new name is on the disk, too, when this returns."""
    sync(draft)
    draft.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Waits until the content of a file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
