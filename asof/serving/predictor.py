"""A request of the use case -> its answer, with the verdicts and moments behind it. No HTTP, no BentoML."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from asof.errors import Overloaded
from asof.serving.batching import Batcher
from asof.serving.metrics import Metrics
from asof.serving.model import ServedModel
from asof.serving.online_features import OnlineFeatures
from asof.serving.verdicts import Reading, admit, judge, require_known
from asof.settings import Settings
from asof.use_case import Score, UseCase

Row = Mapping[str, Any]

PROBE = "asof-readiness-probe"
"""An entity that nobody has: looking it up takes the whole way to the online store and back."""


@dataclass(frozen=True)
class Lineage:
    """Where a served model comes from: its name and version in the registry, its run, and the Bento that holds it."""

    name: str
    version: str
    run_id: str
    bento: str


@dataclass(frozen=True)
class Prediction:
    """The use case's answer, the moment of each view's values, and the readings to be flagged."""

    answer: BaseModel
    as_of: dict[str, datetime]
    flagged: Sequence[Reading]


class Predictor:
    """One model with its features. `start` and `close` it inside the event loop."""

    def __init__(self, use_case: UseCase, model: ServedModel, lineage: Lineage, settings: Settings) -> None:
        self.use_case, self.model, self.lineage, self.settings = use_case, model, lineage, settings
        self.metrics = Metrics()
        self._features = OnlineFeatures(settings, model.facts.contract)
        self._batcher: Batcher[Row, float] = Batcher(self._score)
        self._in_flight = 0

    def start(self) -> "asyncio.Task[None]":
        """Begins to open the feature store; the task ends when it is open. Raises ConfigurationError if none is set."""
        return self._features.start()

    async def close(self) -> None:
        await self._features.close()

    async def predict(self, request: BaseModel) -> Prediction:
        """Looks the entity's features up, judges them, and asks the model.

        Raises EntityNotFound, MissingFeatures, StaleFeatures, FeatureStoreUnavailable, FeatureContractMismatch or
        Overloaded.
        """
        entity: str = getattr(request, self.model.facts.contract.entity)
        with self._place():
            readings = await self._read(entity)
            flagged = admit(entity, readings)
            values = {reading.feature.name: reading.value for reading in readings}
            probability = await self._batcher.submit(values)
        answer = self.use_case.respond(request, Score(probability, self.model.facts.threshold))
        return Prediction(answer, _moments(readings), flagged)

    async def readings(self, entity: str) -> list[Reading]:
        """Each feature of one entity with its verdict, good or not. Raises EntityNotFound and as `predict` does."""
        with self._place():
            readings = await self._read(entity)
        require_known(entity, readings)
        return readings

    async def check_store(self) -> None:
        """Really asks the online store. Raises FeatureStoreUnavailable or FeatureContractMismatch."""
        await self._features.find(PROBE)

    async def _score(self, rows: Sequence[Row]) -> Sequence[float | Exception]:
        """In a thread: a forest takes 20 ms, and the event loop must go on answering meanwhile."""
        return await asyncio.to_thread(_score_each, self.model, rows)

    async def _read(self, entity: str) -> list[Reading]:
        with self.metrics.lookup_seconds.time():
            found = await self._features.find(entity)
        now = self.settings.now()
        return [judge(one, self._features.policy(one.feature), now) for one in found]

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        if self._in_flight >= self.settings.max_in_flight:
            raise Overloaded(f"{self._in_flight} requests are in flight, as many as one worker takes: try again.")
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1


def _score_each(model: ServedModel, rows: Sequence[Row]) -> Sequence[float | Exception]:
    """A probability or an exception for each row: where the batch fails, each row is tried alone."""
    try:
        return model.probabilities(rows)
    except Exception as error:
        return [error] if len(rows) == 1 else [_score_each(model, [row])[0] for row in rows]


def _moments(readings: Sequence[Reading]) -> dict[str, datetime]:
    return {reading.feature.view: reading.as_of for reading in readings if reading.as_of is not None}
