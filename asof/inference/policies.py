"""The staleness policy of each view, and the check that registered features are those of the model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from asof.errors import FeatureContractMismatch
from asof.features.definition_records import DefinitionRecords
from asof.features.feature_contract import FeatureContract
from asof.inference.verdicts import Policy


@dataclass(frozen=True)
class Registered:
    """A feature service as registered, the policy of each of its views, and the records of how these were defined.

    Two that are equal give the same answers. `beyond` says what a plain lookup by the entity's key would not do right.
    """

    contract: FeatureContract
    policies: Mapping[str, Policy]
    records: DefinitionRecords = field(default_factory=DefinitionRecords)
    beyond: str = ""


def view_policy(ttl: timedelta | None, tags: Mapping[str, str]) -> Policy:
    """Feast's own rule: no ttl, or one of zero, sets no limit. Only `staleness: flag` makes a view lenient."""
    return Policy(max_age=ttl or None, refuses=tags.get("staleness") != "flag")


def require_same(contract: FeatureContract, registered: Registered) -> None:
    """Raises FeatureContractMismatch where the features that are registered, or online, are not those of the model."""
    if difference := registered.records.mismatch(contract, registered.contract):
        raise FeatureContractMismatch(
            f"Feature service {contract.feature_service!r} is not what the model was trained on: {difference}",
            difference=difference,
        )
