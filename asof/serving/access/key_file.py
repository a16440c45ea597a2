"""The current keys of a file of API keys, one instance for each worker.

A request reads the file again if the last read is a second old. Comparing the bytes takes less than 0.1 ms and, unlike
modification times and inode numbers, works on mounted folders, links and copies.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from asof.errors import ConfigurationError
from asof.serving.access.api_keys import ApiKey, parse

logger = logging.getLogger("asof.serving")

REFRESH_SECONDS = 1.0
MAX_BYTES = 1024 * 1024


class KeyFile:
    """Raises ConfigurationError where the file cannot be read or does not have the format of `api_keys`.

    If it becomes invalid or is removed later, the previous keys stay valid and a warning is logged.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._content = read(path)
        self._keys = keys_in(path, self._content)
        self._read_at, self._warned = clock(), False

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """The keys of the file, at most a second old."""
        if self._clock() - self._read_at >= REFRESH_SECONDS:
            self._read_at = self._clock()
            self._refresh()
        return self._keys

    def _refresh(self) -> None:
        try:
            content = read(self._path)
            if content != self._content:
                self._keys, self._content = keys_in(self._path, content), content
                logger.info("ASOF_API_KEYS: %s keys are valid now.", len(self._keys))
        except ConfigurationError as error:
            if not self._warned:
                logger.warning("%s Keeping the previous keys.", error)
            self._warned = True
        else:
            self._warned = False


def keys_in(path: Path, content: bytes) -> tuple[ApiKey, ...]:
    """The keys in the file's content. Raises ConfigurationError, naming the file."""
    try:
        return parse(content)
    except ConfigurationError as error:
        raise ConfigurationError(f"ASOF_API_KEYS {path} is no valid file of keys: {error}.") from None


def read(path: Path) -> bytes:
    """The file's content. Raises ConfigurationError where it cannot be read or is too long."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"ASOF_API_KEYS {path} cannot be read ({error.strerror}). `python -m flows api-keys add` creates it."
        ) from error
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"ASOF_API_KEYS {path} is longer than {MAX_BYTES} bytes. Set it to a file of keys.")
    return content
