"""Adds a key to the file of API keys or removes one; the file is replaced atomically and keeps its comments."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from asof.errors import ConfigurationError
from asof.serving.access.api_keys import ApiKey, entry_of, line_of, new_key
from asof.serving.access.key_file import keys_in, read

MODE = 0o640
HEADER = "# Who may ask the prediction service: name, scopes (predict,admin), SHA-256 of the key, last day in UTC."


def add_key(path: Path, name: str, scopes: Sequence[str], expires: str | None = None) -> tuple[ApiKey, str]:
    """Adds a key to the file, which is created if needed; returns its entry, and the key, which is stored nowhere.

    Raises ConfigurationError where the name is taken, a part is invalid, or the file is no file of keys.
    """
    key = new_key()
    added = entry_of(name, scopes, key, expires)

    def edited(lines: list[str], keys: Sequence[ApiKey]) -> list[str]:
        if any(each.name == name for each in keys):
            raise ConfigurationError(f"There is a key {name} in {path}: remove it, or choose another name.")
        return [*lines, line_of(added)]

    _edit(path, edited)
    return added, key


def remove_key(path: Path, name: str) -> ApiKey:
    """Removes the key and returns its entry. Raises ConfigurationError where there is no key of that name."""
    removed: list[ApiKey] = []

    def edited(lines: list[str], keys: Sequence[ApiKey]) -> list[str]:
        removed.extend(each for each in keys if each.name == name)
        if not removed:
            known = ", ".join(each.name for each in keys) or "none"
            raise ConfigurationError(f"There is no key {name} in {path}; there are: {known}.")
        return [line for line in lines if line.partition("#")[0].split()[:1] != [name]]

    _edit(path, edited)
    return removed[0]


def list_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys in the file. Raises ConfigurationError."""
    return keys_in(path, read(path))


def _edit(path: Path, edited: Callable[[list[str], Sequence[ApiKey]], list[str]]) -> None:
    path = path.resolve()  # what a link names is replaced, not the link
    path.parent.mkdir(parents=True, exist_ok=True)
    with _turn(path.parent):
        content = (read(path) if path.exists() else b"") or HEADER.encode()
        lines = edited(content.decode().splitlines(), keys_in(path, content))
        _replace(path, "\n".join(lines) + "\n")


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One at a time, or of two changes one would be lost."""
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _replace(path: Path, text: str) -> None:
    """By one rename. Mode and owner stay: the service's user must still be able to read it."""
    draft = NamedTemporaryFile(  # noqa: SIM115
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    )
    try:
        with draft:
            draft.write(text)
            _like(path, draft.fileno())
            draft.flush()
            os.fsync(draft.fileno())
        Path(draft.name).replace(path)
    except BaseException:
        Path(draft.name).unlink(missing_ok=True)
        raise


def _like(path: Path, number: int) -> None:
    if not path.exists():
        os.fchmod(number, MODE)
        return
    before = path.stat()
    with suppress(PermissionError):
        os.fchown(number, before.st_uid, before.st_gid)
    os.fchmod(number, before.st_mode & 0o777)
