"""Finding: one thing that a check has to say, how much it matters, and what mends it."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters, the gravest first.

    error    something does not work, or gives wrong answers: exit code 1
    warning  it works, and will not for long, or not for everybody
    note     a fact to know; what could be looked at and is not there
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the gravest."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Finding:
    """`name` is stable, KIND or KIND:place; `found` is a sentence, `mend` a command or another; a note may lack it."""

    name: str
    severity: Severity
    found: str
    mend: str = ""


def error(name: str, found: str, mend: str) -> Finding:
    """Something must be mended."""
    return Finding(name, Severity.ERROR, found, mend)


def warning(name: str, found: str, mend: str) -> Finding:
    """Something should be mended."""
    return Finding(name, Severity.WARNING, found, mend)


def note(name: str, found: str, mend: str = "") -> Finding:
    """Something to know."""
    return Finding(name, Severity.NOTE, found, mend)


def listed(names: list[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
