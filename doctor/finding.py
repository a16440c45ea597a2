"""Finding: one thing that a check has to say, how much it matters, and how to fix it."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters, the most severe first.

    error    something does not work, or gives wrong answers: exit code 1
    warning  it works now, but not for long or not in every case
    note     a fact to know, or what could not be checked
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the most severe."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Finding:
    """`name` is stable, KIND or KIND:place; `found` is a sentence, `mend` how to fix it; a note may lack it."""

    name: str
    severity: Severity
    found: str
    mend: str = ""


def error(name: str, found: str, mend: str) -> Finding:
    """Something must be fixed."""
    return Finding(name, Severity.ERROR, found, mend)


def warning(name: str, found: str, mend: str) -> Finding:
    """Something should be fixed."""
    return Finding(name, Severity.WARNING, found, mend)


def note(name: str, found: str, mend: str = "") -> Finding:
    """Something to know."""
    return Finding(name, Severity.NOTE, found, mend)


def listed(names: list[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
