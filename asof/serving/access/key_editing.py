"""Adds a key to the file of API keys or removes one; the file is replaced atomically and keeps its comments."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from asof.errors import ConfigurationError
from asof.files import locked, write_whole
from asof.serving.access.api_keys import ApiKey, entry_of, line_of, new_key
from asof.serving.access.key_file import keys_in, read

MODE = 0o640
HEADER = (
    "# API keys of the prediction service: name, scopes (predict,what-if,outcomes,admin), SHA-256 of the key, last day "
    "in UTC."
)


def add_key(path: Path, name: str, scopes: Sequence[str], expires: str | None = None) -> tuple[ApiKey, str]:
    """Adds a key to the file, which is created if needed; returns its entry, and the key, which is stored nowhere.

    Raises ConfigurationError where the name is taken, a part is invalid, or the file is no file of keys.
    """
    key = new_key()
    added = entry_of(name, scopes, key, expires)
    with _editing(path) as (lines, keys):
        if any(each.name == name for each in keys):
            raise ConfigurationError(f"There is a key {name} in {path}: remove it, or choose another name.")
        lines.append(line_of(added))
    return added, key


def remove_key(path: Path, name: str) -> ApiKey:
    """Removes the key and returns its entry. Raises ConfigurationError where there is no key of that name."""
    with _editing(path) as (lines, keys):
        removed = next((each for each in keys if each.name == name), None)
        if removed is None:
            known = ", ".join(each.name for each in keys) or "none"
            raise ConfigurationError(f"There is no key {name} in {path}; there are: {known}.")
        lines[:] = [line for line in lines if line.partition("#")[0].split()[:1] != [name]]
    return removed


def list_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys in the file. Raises ConfigurationError."""
    return keys_in(path, read(path))


@contextmanager
def _editing(path: Path) -> Iterator[tuple[list[str], Sequence[ApiKey]]]:
    """The file's lines, for the block to change, and its keys."""
    path = path.resolve()  # replaces the target of a link
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):  # concurrent changes would overwrite each other
        exists = path.exists()
        content = (read(path) if exists else b"") or HEADER.encode()
        lines, keys = content.decode().splitlines(), keys_in(path, content)
        yield lines, keys
        mode = path.stat().st_mode & 0o777 if exists else MODE  # the service's user may keep reading it
        write_whole(path, "\n".join(lines) + "\n", mode=mode, durable=True)
