"""Model input from the online store for the entity in a request, each feature present and timely."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache, partial

from pydantic import BaseModel

from asof.errors import (
    AsOfError,
    EntityNotFound,
    FeatureContractMismatch,
    FeatureStoreUnavailable,
    InvalidRequest,
    MissingFeatures,
    Overloaded,
    StaleFeatures,
)
from asof.features.join_keys import Entity
from asof.inference.ranges import TrainingRanges
from asof.inference.verdicts import (
    JudgedFeature,
    StoredRow,
    Verdict,
    all_present,
    require_known,
    require_usable,
    row_moments,
    timing,
)
from asof.ledger.answers import ReadValues
from asof.serving.features.evidence import StoredMoments, StoreEvidence
from asof.serving.features.inputs import Evidence, ModelInput, PendingInputs, stored_inputs
from asof.serving.features.online_features import OnlineFeatures
from asof.serving.features.overrides import OVERRIDDEN, Overrides, checked, overrides_of
from asof.serving.logs.metrics import Metrics
from asof.settings import Settings

STORE = (FeatureContractMismatch, FeatureStoreUnavailable)
LOOKUP = (EntityNotFound, *STORE, Overloaded)


class StoreInput:
    """The source of features in the online store, for all models that take them.

    Call `start` and `close` inside the event loop. `trained` are the training ranges of the model to be called.
    """

    evidence: type[StoredMoments] = StoreEvidence
    problems = (*LOOKUP, InvalidRequest, MissingFeatures, StaleFeatures)

    def __init__(self, settings: Settings, features: OnlineFeatures, metrics: Metrics) -> None:
        self._settings, self._features, self._metrics = settings, features, metrics
        self._keys = features.contract.keys
        self._row_moments = lru_cache(maxsize=1024)(partial(row_moments, features.contract.features))

    def start(self) -> "asyncio.Future[None]":
        """Starts to open the store; the future is done when it is open. Raises ConfigurationError if none is set."""
        return self._features.start()

    async def close(self) -> None:
        await self._features.close()

    async def check(self) -> str:
        """Makes a lookup of any entity. Raises FeatureStoreUnavailable or FeatureContractMismatch."""
        await self._features.lookup(self._keys.probe)
        return "ok"

    async def read(self, request: BaseModel, trained: TrainingRanges) -> ModelInput:
        """Looks up the entity's features and judges them.

        Raises EntityNotFound, MissingFeatures, StaleFeatures, FeatureStoreUnavailable or FeatureContractMismatch; and
        InvalidRequest for overrides that the model cannot take.
        """
        entity, overrides = self._keys.of(request), None
        if asked := overrides_of(request):
            overrides = checked(asked, self._features.contract, trained)
        row = await self._lookup(entity)
        now = self._settings.now()
        if overrides:
            return self._hypothetical(entity, row, trained, now=now, overrides=overrides)
        good = all_present(row, self._features.policies, now) and trained.covers(row.values)
        values = {feature.name: value for feature, value in zip(row.features, row.values, strict=True)}
        if not good:
            return ModelInput(values, self._evidence(entity, row, trained, now=now))
        return ModelInput(values, {**self._row_moments(tuple(row.moments)), "flags": []})

    def _hypothetical(
        self, entity: Entity, row: StoredRow, trained: TrainingRanges, *, now: datetime, overrides: Overrides
    ) -> ModelInput:
        """The input with overrides: the other values are judged as ever, and the entity must be known."""
        stored = row.judged(self._features.policies, now)
        require_known(self._keys, entity, stored)
        evidence = self._judged_evidence(entity, overrides.row(row), trained, judged=overrides.judged(stored))
        values = {feature.name: value for feature, value in zip(row.features, overrides.row(row).values, strict=True)}
        return ModelInput(values, {**evidence, OVERRIDDEN: overrides.payload(stored)})

    async def look_up(self, requests: Sequence[BaseModel], trained: TrainingRanges) -> PendingInputs:
        """Looks up the features of all entities, to be judged as `read` does.

        Raises FeatureStoreUnavailable or FeatureContractMismatch.
        """
        entities = [self._keys.of(request) for request in requests]
        columns = await self._features.lookup_many(entities)
        now, policies = self._settings.now(), self._features.policies
        return lambda: stored_inputs(
            columns,
            columns.all_present(policies, now) & trained.covers_each(columns),
            lambda index, row: self._evidence(entities[index], row, trained, now=now),
        )

    async def judged_features(self, entity: Entity, trained: TrainingRanges) -> list[JudgedFeature]:
        """Each feature of one entity with its verdict. Raises EntityNotFound and as `check` does."""
        row = await self._lookup(entity)
        features = row.judged(self._features.policies, self._settings.now())
        require_known(self._keys, entity, features)
        outside = {flag["feature"] for flag in trained.flags(row)}
        return [_with_range(each) if each.feature.name in outside else each for each in features]

    def _evidence(self, entity: Entity, row: StoredRow, trained: TrainingRanges, *, now: datetime) -> Evidence:
        """Raises EntityNotFound, MissingFeatures or StaleFeatures, with the values that were read."""
        return self._judged_evidence(entity, row, trained, judged=row.judged(self._features.policies, now))

    def _judged_evidence(
        self, entity: Entity, row: StoredRow, trained: TrainingRanges, *, judged: Sequence[JudgedFeature]
    ) -> Evidence:
        try:
            untimely = [timing(feature) for feature in require_usable(self._keys, entity, judged)]
        except AsOfError as error:
            error.read = _read(row, judged)
            raise
        return {**row_moments(row.features, row.moments), "flags": [*untimely, *trained.flags(row)]}

    async def _lookup(self, entity: Entity) -> StoredRow:
        with self._metrics.lookup_seconds.time():
            return await self._features.lookup(entity)


def _read(row: StoredRow, judged: Sequence[JudgedFeature]) -> ReadValues:
    """The values of a refused row for the ledger."""
    values = {each.feature.name: each.value for each in judged}
    verdicts = {each.feature.name: each.verdict for each in judged if each.verdict is not Verdict.PRESENT}
    return ReadValues(values, row_moments(row.features, row.moments), verdicts)


def _with_range(judged: JudgedFeature) -> JudgedFeature:
    """OUTSIDE in place of PRESENT; another verdict takes precedence."""
    return replace(judged, verdict=Verdict.OUTSIDE) if judged.verdict is Verdict.PRESENT else judged
