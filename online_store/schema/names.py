"""Identifiers and literals in SQL, and names of tables and columns that fit PostgreSQL's limit and are unique."""

import hashlib
from collections.abc import Collection

MAX_NAME_BYTES = 63
"""PostgreSQL silently truncates longer names."""

SYSTEM_COLUMNS = frozenset({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"})


def quoted(name: str) -> str:
    """The name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as a string constant."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def table_name(project: str, view: str) -> str:
    """Contains a dot, unlike the tables of Feast's stock store: both can share a schema."""
    return fit_name(f"{project}.{view}")


def fit_name(name: str, taken: Collection[str] = ()) -> str:
    """The name, or, if it is too long or taken, its beginning and a hash of the whole."""
    if len(name.encode()) <= MAX_NAME_BYTES and name not in taken and name not in SYSTEM_COLUMNS:
        return name
    end = "." + hashlib.sha256(name.encode()).hexdigest()[:12]
    return name.encode()[: MAX_NAME_BYTES - len(end)].decode(errors="ignore") + end
