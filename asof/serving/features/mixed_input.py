"""Model input from both sources: stored features of the entity in a request, and features that the request gives."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel

from asof.errors import AsOfError, InvalidRequest
from asof.given_features import Given
from asof.inference.ranges import Flag, TrainingRanges, outside_values, unseen_categories
from asof.serving.features.evidence import MixedEvidence
from asof.serving.features.inputs import Evidence, ModelInput, ModelInputs, PendingInputs
from asof.serving.features.online_features import OnlineFeatures
from asof.serving.features.store_input import StoreInput
from asof.serving.logs.metrics import Metrics
from asof.settings import Settings


class MixedInput(StoreInput):
    """A StoreInput with given features, which are judged first: what is wrong with them is the caller's to correct."""

    evidence = MixedEvidence

    def __init__(self, settings: Settings, features: OnlineFeatures, metrics: Metrics, given: Given) -> None:
        super().__init__(settings, features, metrics)
        self._given = given

    async def read(self, request: BaseModel, trained: TrainingRanges) -> ModelInput:
        """As `StoreInput.read`. Raises InvalidRequest where a given value is too far outside its training range."""
        values, flags = self._judged(request, trained)
        stored = await super().read(request, trained)
        return ModelInput({**stored.values, **values}, _with_flags(stored.evidence, flags))

    async def look_up(self, requests: Sequence[BaseModel], trained: TrainingRanges) -> PendingInputs:
        """As `StoreInput.look_up`, to be judged as `read` does."""
        pending = await super().look_up(requests, trained)
        return lambda: self._joined(pending(), requests, trained)

    def _joined(self, stored: ModelInputs, requests: Sequence[BaseModel], trained: TrainingRanges) -> ModelInputs:
        judged: list[Evidence | AsOfError] = list(stored.judged)
        given: dict[int, Mapping[str, Any]] = {}
        for index, request in enumerate(requests):
            try:
                values, flags = self._judged(request, trained)
            except InvalidRequest as error:
                judged[index] = error
                continue
            evidence = judged[index]
            if not isinstance(evidence, AsOfError):
                given[index], judged[index] = values, _with_flags(evidence, flags)
        kept = np.isin(stored.accepted, list(given))
        columns = {name: each[kept] for name, each in stored.values.items()}
        columns |= {name: np.array([row[name] for row in given.values()]) for name in self._given.columns}
        return ModelInputs(judged, columns, list(given))

    def _judged(self, request: BaseModel, trained: TrainingRanges) -> tuple[Mapping[str, Any], list[Flag]]:
        """The given values by name, and their flags. Raises InvalidRequest."""
        given = self._given.values(request)
        flags = [each.flag for each in outside_values(given, trained.ranges)]
        return {each.name: each.value for each in given}, [*flags, *unseen_categories(given, trained.categories)]


def _with_flags(evidence: Evidence, flags: Sequence[Flag]) -> Evidence:
    return {**evidence, "flags": [*evidence["flags"], *flags]} if flags else evidence
