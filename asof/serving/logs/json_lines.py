"""Lines of JSON, written once per round of the event loop: the lines of one batch take one write together."""

import asyncio
from collections.abc import Callable


class JsonLines:
    """Calls `write` with the lines of a round, joined and without a final line break; outside a loop, immediately."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._pending: list[str] = []

    def add(self, line: str) -> None:
        """One line, without a line break."""
        self._pending.append(line)
        if len(self._pending) == 1:
            try:
                asyncio.get_running_loop().call_soon(self._flush)
            except RuntimeError:
                self._flush()

    def _flush(self) -> None:
        lines, self._pending = self._pending, []
        self._write("\n".join(lines))
