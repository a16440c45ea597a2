"""EntityReader: the interface of all readers of an online store."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from asof.features.join_keys import Entity
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import Policy, StoredRow


class EntityReader(Protocol):
    """An open online store, and the policy of each view. One lookup at a time."""

    policies: Mapping[str, Policy]

    async def read(self, entities: Sequence[Entity]) -> list[StoredRow]:
        """The features of each entity, in the order of `entities`, which may repeat.

        Raises psycopg.OperationalError where the connection was lost; the next call uses a new one. Raises another
        psycopg.Error, or FeatureStoreUnavailable, where a retry would not help.
        """

    async def read_columns(self, entities: Sequence[Entity]) -> StoredColumns:
        """The same for many entities, as arrays."""

    async def close(self) -> None:
        """Closes the connection; that of a running lookup at its end."""
