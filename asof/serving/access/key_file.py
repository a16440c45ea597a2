"""The path of a file of API keys -> the keys that count now. One for each worker.

Once a second at most, and only when somebody asks, the file is read again: comparing its bytes costs 30 microseconds
and needs no trust in the times or numbers of files, which differ on mounted folders, links and copies.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from asof.errors import ConfigurationError
from asof.serving.access.api_keys import ApiKey, parse

logger = logging.getLogger("asof.serving")

LOOK_SECONDS = 1.0
MOST_BYTES = 1024 * 1024


class KeyFile:
    """Raises ConfigurationError where the file cannot be read or is not what `api_keys` describes.

    One that breaks or goes away later changes nothing but the log: the keys of before go on counting, and nobody else.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._content = read(path)
        self._keys = keys_in(path, self._content)
        self._looked_at, self._told = clock(), False

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """As the file had them a second ago at most."""
        if self._clock() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = self._clock()
            self._look()
        return self._keys

    def _look(self) -> None:
        try:
            content = read(self._path)
            if content != self._content:
                self._keys, self._content = keys_in(self._path, content), content
                logger.info("ASOF_API_KEYS: %s keys count now.", len(self._keys))
        except ConfigurationError as error:
            if not self._told:
                logger.warning("%s The keys of before go on counting.", error)
            self._told = True
        else:
            self._told = False


def keys_in(path: Path, content: bytes) -> tuple[ApiKey, ...]:
    """The keys in what was read. Raises ConfigurationError, naming the file."""
    try:
        return parse(content)
    except ConfigurationError as error:
        raise ConfigurationError(f"ASOF_API_KEYS {path} is no file of keys: {error}.") from None


def read(path: Path) -> bytes:
    """What the file holds. Raises ConfigurationError."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"ASOF_API_KEYS {path} cannot be read ({error.strerror}): `python -m flows api-keys add` makes one."
        ) from error
    if len(content) > MOST_BYTES:
        raise ConfigurationError(f"ASOF_API_KEYS {path} is longer than {MOST_BYTES} bytes.")
    return content
