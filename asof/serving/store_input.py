"""A request that names an entity -> the model's input from the online store, each feature there and of this moment."""

import asyncio
from datetime import datetime

from pydantic import BaseModel

from asof.errors import (
    EntityNotFound,
    FeatureContractMismatch,
    FeatureStoreUnavailable,
    InvalidRequest,
    MissingFeatures,
    Overloaded,
    StaleFeatures,
)
from asof.serving.evidence import StoreEvidence
from asof.serving.input import Input
from asof.serving.metrics import Metrics
from asof.serving.online_features import OnlineFeatures
from asof.serving.verdicts import FoundRow, Reading, admit, all_present, judge, require_known, timing
from asof.settings import Settings

PROBE = "asof-readiness-probe"
"""An entity that nobody has: looking it up takes the whole way to the online store and back."""

LOOKUP = (EntityNotFound, FeatureContractMismatch, FeatureStoreUnavailable, Overloaded)


class StoreInput:
    """The features of one model in the online store. `start` and `close` it inside the event loop."""

    evidence = StoreEvidence
    problems = (*LOOKUP, InvalidRequest, MissingFeatures, StaleFeatures)

    def __init__(self, settings: Settings, features: OnlineFeatures, metrics: Metrics) -> None:
        self._settings, self._features, self._metrics = settings, features, metrics

    def start(self) -> "asyncio.Future[None]":
        """Begins to open the feature store; done when it is open. Raises ConfigurationError if none is set."""
        return self._features.start()

    async def close(self) -> None:
        await self._features.close()

    async def check(self) -> str:
        """Really asks the online store. Raises FeatureStoreUnavailable or FeatureContractMismatch."""
        await self._features.find(PROBE)
        return "ok"

    async def read(self, request: BaseModel) -> Input:
        """Looks the entity's features up and judges them.

        Raises EntityNotFound, MissingFeatures, StaleFeatures, FeatureStoreUnavailable or FeatureContractMismatch.
        """
        entity: str = getattr(request, self._features.contract.entity)
        row = await self._find(entity)
        now = self._settings.now()
        flagged = [] if all_present(row, self._features.policies, now) else admit(entity, self._judged(row, now))
        values = {feature.name: value for feature, value in zip(row.features, row.values, strict=True)}
        return Input(values, {"as_of": _moments(row), "flags": [timing(reading) for reading in flagged]})

    async def readings(self, entity: str) -> list[Reading]:
        """Each feature of one entity with its verdict, good or not. Raises EntityNotFound and as `check` does."""
        readings = self._judged(await self._find(entity), self._settings.now())
        require_known(entity, readings)
        return readings

    async def _find(self, entity: str) -> FoundRow:
        with self._metrics.lookup_seconds.time():
            return await self._features.find(entity)

    def _judged(self, row: FoundRow, now: datetime) -> list[Reading]:
        return [judge(found, policy, now) for found, policy in zip(row, self._features.policies, strict=True)]


def _moments(row: FoundRow) -> dict[str, datetime]:
    return {
        feature.view: moment for feature, moment in zip(row.features, row.moments, strict=True) if moment is not None
    }
