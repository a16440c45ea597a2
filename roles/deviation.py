"""Deviation: something that is not as it should be, in words, with the statement that mends it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection as AnyConnection
from psycopg import sql

Connection = AnyConnection[Any]


@dataclass(frozen=True)
class Deviation:
    """`mend` is None where no statement of ours does it: a table is made by its stage."""

    words: str
    mend: sql.Composed | None


def mend(connection: Connection, deviations: Iterable[Deviation]) -> list[str]:
    """Runs the statements, all or none; gives all words."""
    found = [*deviations]
    with connection.transaction():
        for each in found:
            if each.mend is not None:
                connection.execute(each.mend)
    return [each.words for each in found]
