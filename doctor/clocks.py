"""How far another clock is from ours -> whether ages and moments can still be told."""

from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime

from doctor.finding import Finding, error, warning

FAR, WRONG = 5.0, 60.0
"""Seconds: an HTTP date has whole seconds, and asking takes time; beyond a minute, rows come from after the clock."""


def clocks_apart(whose: str, seconds: float) -> Iterator[Finding]:
    """`seconds` is that clock minus ours."""
    if abs(seconds) < FAR:
        return
    way = "ahead of" if seconds > 0 else "behind"
    found = f"The clock of {whose} is {abs(seconds):,.0f} s {way} this machine's: ages and `known_at` come out wrong."
    mend = "Synchronise both with NTP (timedatectl set-ntp true; in a virtual machine, that of its host)."
    yield error(f"clock:{whose}", found, mend) if abs(seconds) >= WRONG else warning(f"clock:{whose}", found, mend)


def seconds_ahead(date: str | None, now: datetime) -> float | None:
    """An HTTP `Date` minus now; None where there is none that can be read."""
    try:
        return (parsedate_to_datetime(date) - now).total_seconds() if date else None
    except ValueError:
        return None
