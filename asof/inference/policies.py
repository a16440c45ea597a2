"""Registered features with the staleness policies of their views, and their comparison with a model's contract."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from asof.errors import FeatureContractMismatch
from asof.features.definition_records import DefinitionRecords
from asof.features.feature_contract import FeatureContract
from asof.inference.verdicts import Policy


@dataclass(frozen=True)
class RegisteredFeatures:
    """A feature service as registered, the policy of each of its views, and the records of their definitions.

    Equal objects give equal answers. `feast_only` names what only Feast itself can look up; empty: our reader can, too.
    """

    contract: FeatureContract
    policies: Mapping[str, Policy]
    records: DefinitionRecords = field(default_factory=DefinitionRecords)
    feast_only: str = ""


def view_policy(ttl: timedelta | None, tags: Mapping[str, str]) -> Policy:
    """A view's policy. As in Feast, a ttl of zero is no limit; the tag `staleness: flag` flags instead of refusing."""
    return Policy(max_age=ttl or None, refuses=tags.get("staleness") != "flag")


def require_same(contract: FeatureContract, registered: RegisteredFeatures) -> None:
    """Raises FeatureContractMismatch where the registered or materialised features differ from the model's."""
    if difference := registered.records.mismatch(contract, registered.contract):
        raise FeatureContractMismatch(
            f"Feature service {contract.feature_service!r} is not what the model was trained on: {difference}",
            difference=difference,
        )
