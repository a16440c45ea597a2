"""The monthly partitions of `ledger.predictions` and `ledger.shadow_scores`, those that were detached among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

PREDICTIONS, SHADOW_SCORES = "predictions", "shadow_scores"
MONTH = "_YYYY_MM"
"""Ends the name of a partition."""
PARTITIONS = """
SELECT relname, inhrelid IS NOT NULL, coalesce(inhdetachpending, false), pg_total_relation_size(pg_class.oid)
FROM pg_class JOIN pg_namespace schema ON schema.oid = relnamespace LEFT JOIN pg_inherits ON inhrelid = pg_class.oid
WHERE nspname = 'ledger' AND relkind = 'r' AND relname ~ '^(predictions|shadow_scores)_[0-9]{4}_[0-9]{2}$'
ORDER BY relname"""


@dataclass(frozen=True)
class Partition:
    """`pending`: a detachment was begun and not completed; readers of the whole table do not see the table any more."""

    name: str
    attached: bool
    pending: bool
    bytes: int

    @property
    def table(self) -> str:
        """The whole table."""
        return table_of(self.name)

    @property
    def start(self) -> datetime:
        """The first moment of its month."""
        return month_of(self.name)

    @property
    def end(self) -> datetime:
        """The moment after its month."""
        return (self.start + timedelta(days=31)).replace(day=1)

    @property
    def hidden(self) -> bool:
        """Whether readers of the whole table do not see it: retention was interrupted while it moved the month."""
        return self.pending or not self.attached


def table_of(name: str) -> str:
    """The whole table of a partition."""
    return name[: -len(MONTH)]


def month_of(name: str) -> datetime:
    """The first moment of a partition's month, in UTC."""
    return datetime.strptime(name[1 - len(MONTH) :], "%Y_%m").replace(tzinfo=UTC)


def partitions(connection: "Connection[Any]") -> Sequence[Partition]:
    """Oldest first."""
    return [Partition(*row) for row in connection.execute(PARTITIONS)]
