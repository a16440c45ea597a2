"""A model's contract -> what its views read, and their policies, as registered: the same features, or none at all."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from asof.definition_records import DefinitionRecords
from asof.feature_contract import FeatureContract
from asof.feature_store import definition_records, feature_store
from asof.serving.store.reader import Registered, require_same, view_policy
from asof.serving.verdicts import Policy
from asof.settings import Settings
from training.join_text import ViewSource
from training.point_in_time import read_sources


@dataclass(frozen=True)
class ScoredFeatures:
    """The contract of a model, the sources of its views, and the policy of each feature in the contract's order."""

    contract: FeatureContract
    sources: Sequence[ViewSource]
    policies: Sequence[Policy]

    @property
    def views(self) -> str:
        """The digest of what is read, and of how it is judged."""
        return hashlib.sha256(repr((self.sources, self.policies)).encode()).hexdigest()


def read_features(settings: Settings, contract: FeatureContract) -> ScoredFeatures:
    """Raises FeatureContractMismatch where the registry has other features than the model takes.

    Raises TrainingSetError where it does not know the model's feature service.
    """
    registered, sources = read_sources(settings, contract.feature_service)
    accepted = definition_records(settings, contract).accepted
    require_same(contract, Registered(registered, {}, DefinitionRecords(accepted=accepted)))
    with feature_store(settings) as store:
        views = {name: store.get_feature_view(name) for name in contract.views}
    policies = {name: view_policy(view.ttl, view.tags) for name, view in views.items()}
    return ScoredFeatures(contract, sources, [policies[feature.view] for feature in contract.features])
