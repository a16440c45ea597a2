"""A request that names an entity -> the model's input from the online store, each feature there and of this moment."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
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
from asof.inference.ranges import Flag, Trained
from asof.inference.verdicts import (
    FoundRow,
    Reading,
    Verdict,
    admit,
    all_present,
    judge,
    require_known,
    row_moments,
    timing,
)
from asof.serving.features.evidence import StoreEvidence
from asof.serving.features.inputs import Evidence, Input, Inputs, admit_found
from asof.serving.features.online_features import OnlineFeatures
from asof.serving.logs.metrics import Metrics
from asof.settings import Settings

PROBE = "asof-readiness-probe"
"""An entity that nobody has: looking it up takes the whole way to the online store and back."""

STORE = (FeatureContractMismatch, FeatureStoreUnavailable)
LOOKUP = (EntityNotFound, *STORE, Overloaded)


class StoreInput:
    """Features in the online store, for every model that takes them. `start` and `close` it inside the event loop.

    `trained` is what the model was trained on that is to be asked.
    """

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

    async def read(self, request: BaseModel, trained: Trained) -> Input:
        """Looks the entity's features up and judges them.

        Raises EntityNotFound, MissingFeatures, StaleFeatures, FeatureStoreUnavailable or FeatureContractMismatch.
        """
        entity: str = getattr(request, self._features.contract.entity)
        row = await self._find(entity)
        now = self._settings.now()
        fine = all_present(row, self._features.policies, now) and trained.saw_like(row.values)
        values = {feature.name: value for feature, value in zip(row.features, row.values, strict=True)}
        return Input(values, _evidence(row) if fine else self._judge(entity, row, trained, now=now))

    async def read_many(self, requests: Sequence[BaseModel], trained: Trained) -> Callable[[], Inputs]:
        """Looks the features of all up; they are judged as `read` does when the result is called, in whatever thread.

        Raises FeatureStoreUnavailable or FeatureContractMismatch.
        """
        entities: list[str] = [getattr(request, self._features.contract.entity) for request in requests]
        found = await self._features.find_many(entities)
        now, policies = self._settings.now(), self._features.policies
        return lambda: admit_found(
            found,
            found.all_present(policies, now) & trained.saw_each(found),
            lambda place, row: self._judge(entities[place], row, trained, now=now),
        )

    async def readings(self, entity: str, trained: Trained) -> list[Reading]:
        """Each feature of one entity with its verdict, good or not. Raises EntityNotFound and as `check` does."""
        row = await self._find(entity)
        readings = self._judged(row, self._settings.now())
        require_known(entity, readings)
        outside = {flag["feature"] for flag in trained.flags(row)}
        return [_marked(each) if each.feature.name in outside else each for each in readings]

    def _judge(self, entity: str, row: FoundRow, trained: Trained, *, now: datetime) -> Evidence:
        """Raises EntityNotFound, MissingFeatures or StaleFeatures."""
        untimely = [timing(reading) for reading in admit(entity, self._judged(row, now))]
        return _evidence(row, [*untimely, *trained.flags(row)])

    async def _find(self, entity: str) -> FoundRow:
        with self._metrics.lookup_seconds.time():
            return await self._features.find(entity)

    def _judged(self, row: FoundRow, now: datetime) -> list[Reading]:
        return [judge(found, policy, now) for found, policy in zip(row, self._features.policies, strict=True)]


def _evidence(row: FoundRow, flags: Sequence[Flag] = ()) -> Evidence:
    return {**row_moments(row.features, row.moments), "flags": [*flags]}


def _marked(reading: Reading) -> Reading:
    """One verdict for each feature: what is wrong with its presence or its moment comes first."""
    return replace(reading, verdict=Verdict.OUTSIDE) if reading.verdict is Verdict.PRESENT else reading
