"""Model input from both sources: stored features of the entity in a request, and features that the request gives."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
        try:
            stored = await super().read(request, trained)
        except AsOfError as error:
            if error.read:
                error.read = error.read._replace(values={**error.read.values, **values})
            raise
        return ModelInput({**stored.values, **values}, _with_flags(stored.evidence, flags))

    async def look_up(self, requests: Sequence[BaseModel], trained: TrainingRanges) -> PendingInputs:
        """As `StoreInput.look_up`, to be judged as `read` does."""
        pending = await super().look_up(requests, trained)
        return lambda: self._joined(pending(), requests, trained)

    def _joined(self, stored: ModelInputs, requests: Sequence[BaseModel], trained: TrainingRanges) -> ModelInputs:
        columns = {name: np.array([getattr(each, name) for each in requests]) for name in self._given.columns}
        judged = list(stored.judged)
        for index in np.flatnonzero(~_within(columns, trained, len(requests))).tolist():
            judged[index] = self._with_given(judged[index], requests[index], trained)
        accepted = [index for index, each in enumerate(judged) if not isinstance(each, AsOfError)]
        kept = np.isin(stored.accepted, accepted)
        values = {name: each[kept] for name, each in stored.values.items()}
        return ModelInputs(
            judged,
            values | {name: each[accepted] for name, each in columns.items()},
            accepted,
            replace(stored.read, values={**stored.read.values, **columns}),
        )

    def _with_given(
        self, stored: Evidence | AsOfError, request: BaseModel, trained: TrainingRanges
    ) -> Evidence | AsOfError:
        try:
            _, flags = self._judged(request, trained)
        except InvalidRequest as error:
            return error
        return stored if isinstance(stored, AsOfError) else _with_flags(stored, flags)

    def _judged(self, request: BaseModel, trained: TrainingRanges) -> tuple[Mapping[str, Any], list[Flag]]:
        """The given values by name, and their flags. Raises InvalidRequest."""
        given = self._given.values(request)
        flags = [each.flag for each in outside_values(given, trained.ranges)]
        return {each.name: each.value for each in given}, [*flags, *unseen_categories(given, trained.categories)]


def _within(columns: Mapping[str, NDArray[Any]], trained: TrainingRanges, count: int) -> NDArray[np.bool_]:
    """For each of `count` requests whether all given values are within what the model was trained on."""
    within = np.ones(count, dtype=bool)
    for name, values in columns.items():
        if name in trained.ranges:
            low, high = trained.ranges[name]
            within &= (values >= low) & (values <= high)
        elif name in trained.categories:
            within &= np.fromiter((value in trained.categories[name] for value in values.tolist()), bool, count)
    return within


def _with_flags(evidence: Evidence, flags: Sequence[Flag]) -> Evidence:
    return {**evidence, "flags": [*evidence["flags"], *flags]} if flags else evidence
