"""Lines of JSON, written once for each round of the event loop: the answers of one batch take one write together."""

import asyncio
from collections.abc import Callable


class Lines:
    """Gives the lines of a round to `write`, joined and without the last line's end; outside a loop at once."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._waiting: list[str] = []

    def add(self, line: str) -> None:
        """One line, without its end."""
        self._waiting.append(line)
        if len(self._waiting) == 1:
            self._at_the_end_of_this_round()

    def _at_the_end_of_this_round(self) -> None:
        try:
            asyncio.get_running_loop().call_soon(self._flush)
        except RuntimeError:
            self._flush()

    def _flush(self) -> None:
        lines, self._waiting = self._waiting, []
        self._write("\n".join(lines))
