"""Names for PostgreSQL: any text in, a name that fits and that nothing else bears out."""

import hashlib
from collections.abc import Collection

LONGEST = 63
"""Bytes: PostgreSQL cuts what is longer, without a word."""

SYSTEM_COLUMNS = frozenset({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"})


def quoted(name: str) -> str:
    """The name as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as a constant in SQL, whatever is in it."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def table_name(project: str, view: str) -> str:
    """Has a dot, as no table of Feast's stock store has: both may live in one schema."""
    return fitting(f"{project}.{view}")


def fitting(name: str, taken: Collection[str] = ()) -> str:
    """The name itself, or, where it is too long or taken, its beginning with a hash of the whole."""
    if len(name.encode()) <= LONGEST and name not in taken and name not in SYSTEM_COLUMNS:
        return name
    end = "." + hashlib.sha256(name.encode()).hexdigest()[:12]
    return name.encode()[: LONGEST - len(end)].decode(errors="ignore") + end
