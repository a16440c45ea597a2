"""Finding: a problem or a fact that a check reports, its severity and its fix."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Most severe first.

    error    something does not work, or gives wrong answers: exit code 1
    warning  works now, but not in every case or not for long
    note     a fact, or what could not be checked
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
    """`name` is stable: KIND or KIND:place. `found` states the problem, `fix` the fix (a note may have none)."""

    name: str
    severity: Severity
    found: str
    fix: str = ""


def error(name: str, found: str, fix: str) -> Finding:
    """A finding that must be fixed."""
    return Finding(name, Severity.ERROR, found, fix)


def warning(name: str, found: str, fix: str) -> Finding:
    """A finding that should be fixed."""
    return Finding(name, Severity.WARNING, found, fix)


def note(name: str, found: str, fix: str = "") -> Finding:
    """A finding for information."""
    return Finding(name, Severity.NOTE, found, fix)


def listed(names: list[str], most: int = 5) -> str:
    """The first names, and the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
