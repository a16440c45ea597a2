"""Deviations from what `access.py` declares, each with the statement that corrects it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection as AnyConnection
from psycopg import sql

Connection = AnyConnection[Any]


@dataclass(frozen=True)
class Deviation:
    """`fix` is None for a missing table, which its stage creates."""

    description: str
    fix: sql.Composed | None


def correct(connection: Connection, deviations: Iterable[Deviation]) -> list[str]:
    """Executes the fixes in one transaction; returns all descriptions."""
    pending = [*deviations]
    with connection.transaction():
        for each in pending:
            if each.fix is not None:
                connection.execute(each.fix)
    return [each.description for each in pending]
