"""Breaker: pauses a challenger that fails, is too slow, or whose process ends; longer each time."""

from dataclasses import dataclass

MAX_BAD = 3
"""Bad calls in a row; the end of the process counts as so many."""
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 900.0
"""Seconds; each further pause is twice as long, until a call is good."""


@dataclass
class Breaker:
    """It is open until `until` (Unix time); then one call is tried."""

    bad: int = 0
    pauses: int = 0
    until: float = 0.0
    why: str = ""

    def is_open(self, now: float) -> bool:
        """Whether nothing may be scored now."""
        return now < self.until

    def record_good(self) -> None:
        self.bad, self.pauses, self.until, self.why = 0, 0, 0.0, ""

    def record_bad(self, now: float, why: str, *, calls: int = 1) -> None:
        """Opens it after MAX_BAD bad calls in a row, or one after a pause."""
        self.bad += calls
        if self.bad < MAX_BAD and not self.pauses:
            return
        self.until = now + min(FIRST_PAUSE * 2**self.pauses, LONGEST_PAUSE)
        self.bad, self.pauses, self.why = 0, min(self.pauses + 1, 10), why
