"""EntityReader: what every way to an online store has in common, and what is checked before one is used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from asof.definition_records import DefinitionRecords
from asof.errors import FeatureContractMismatch
from asof.feature_contract import FeatureContract
from asof.serving.found_columns import FoundColumns
from asof.serving.verdicts import FoundRow, Policy


@dataclass(frozen=True)
class Registered:
    """A feature service as registered, the policy of each of its views, and the records of how these were defined.

    Two that are equal give the same answers. `beyond` says what a plain lookup by the entity's key would not do right.
    """

    contract: FeatureContract
    policies: Mapping[str, Policy]
    records: DefinitionRecords = field(default_factory=DefinitionRecords)
    beyond: str = ""


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


def view_policy(ttl: timedelta | None, tags: Mapping[str, str]) -> Policy:
    """Feast's own rule: no ttl, or one of zero, sets no limit. Only `staleness: flag` makes a view lenient."""
    return Policy(max_age=ttl or None, refuses=tags.get("staleness") != "flag")


def require_same(contract: FeatureContract, registered: Registered) -> None:
    """Raises FeatureContractMismatch where the features that are registered, or online, are not those of the model."""
    if difference := registered.records.misfit(contract, registered.contract):
        raise FeatureContractMismatch(
            f"Feature service {contract.feature_service!r} is not what the model was trained on: {difference}",
            difference=difference,
        )


def lacking(what: object) -> FeatureContractMismatch:
    """The error for something that the registry should hold and does not."""
    return FeatureContractMismatch(f"The registry lacks what the model needs ({what}): run `feast apply`.")
