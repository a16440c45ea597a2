"""EntityReader: what every way to an online store has in common, and what is checked before one is used."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from asof.errors import FeatureContractMismatch
from asof.inference.found_columns import FoundColumns
from asof.inference.verdicts import FoundRow, Policy


class EntityReader(Protocol):
    """An online store that is ready to be asked, and the policy of each view. One lookup at a time."""

    policies: Mapping[str, Policy]

    async def read(self, entities: Sequence[str]) -> list[FoundRow]:
        """What the store holds of each entity, in their order; an entity may be named twice.

        Raises psycopg.OperationalError where the connection was lost: the next call is made on a fresh one. Raises
        another psycopg.Error, or FeatureStoreUnavailable, where it would not help to ask again.
        """

    async def read_columns(self, entities: Sequence[str]) -> FoundColumns:
        """The same for many entities, as arrays."""

    async def close(self) -> None:
        """Closes the connection, and that of a lookup which is under way when that has ended."""


def lacking(what: object) -> FeatureContractMismatch:
    """The error for something that the registry should hold and does not."""
    return FeatureContractMismatch(f"The registry lacks what the model needs ({what}): run `feast apply`.")
