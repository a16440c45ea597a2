"""A request of the use case -> its answer, with the evidence for it. No HTTP, no BentoML."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from asof.errors import AsOfError
from asof.features.join_keys import Entity
from asof.inference.ranges import TrainingRanges
from asof.inference.served_model import ServedModel
from asof.inference.verdicts import JudgedFeature
from asof.ledger.answers import Encoder, ReadValues
from asof.ledger.model_record import record_of
from asof.model_facts import Lineage
from asof.serving.features.batching import Batcher
from asof.serving.features.inputs import PendingInputs
from asof.serving.features.mixed_input import MixedInput
from asof.serving.features.online_features import OnlineFeatures
from asof.serving.features.request_input import RequestInput
from asof.serving.features.store_input import StoreInput
from asof.serving.prediction.worker import Worker
from asof.targets import Prediction as ModelPrediction
from asof.use_case import FromRequest, FromStore, UseCase

Row = Mapping[str, Any]
FeatureSource = StoreInput | RequestInput


@dataclass(frozen=True)
class Prediction:
    """The use case's answer, the further members on the features behind it, and the model's prediction.

    `read` has the features; None in a batch.
    """

    answer: BaseModel
    evidence: Mapping[str, Any]
    score: ModelPrediction
    read: ReadValues | None = None


class Predictor:
    """A model with the source of its features. Call `start` and `close` inside the event loop.

    `features`: the source of another predictor whose model takes the same features, to share it.
    """

    def __init__(
        self, model: ServedModel, lineage: Lineage, worker: Worker, *, features: FeatureSource | None = None
    ) -> None:
        self.use_case, self.model, self.lineage, self.worker = worker.use_case, model, lineage, worker
        self.features = features or self._feature_source()
        self._trained = TrainingRanges(replace(model.facts, contract=model.facts.contract.stored))
        self.encoder = Encoder(record_of(self.use_case, lineage, model.facts))
        self._batcher: Batcher[Row, ModelPrediction] = Batcher(self._score)
        self._in_flight = 0

    def _feature_source(self) -> FeatureSource:
        match self.use_case.source:
            case FromStore(given=given):
                features = OnlineFeatures(self.worker.settings, self.model.facts.contract.stored)
                parts = self.worker.settings, features, self.worker.metrics
                return MixedInput(*parts, given) if given else StoreInput(*parts)
            case FromRequest() as source:
                return RequestInput(source)

    def start(self) -> "asyncio.Future[None]":
        """Starts to open the features' source; the result is done when it is open. Raises ConfigurationError."""
        return self.features.start()

    async def close(self) -> None:
        await self.features.close()

    async def check(self) -> str:
        """The state of the feature store. Raises FeatureStoreUnavailable or FeatureContractMismatch."""
        return await self.features.check()

    async def predict(self, request: BaseModel) -> Prediction:
        """Reads and judges the features, and calls the model. Raises the errors in the source's `problems`."""
        with self.worker.concurrency_limit.slot(), self.in_use():
            model_input = await self.features.read(request, self._trained)
            read = model_input.read
            try:
                prediction = await self._batcher.submit(model_input.values)
            except AsOfError as error:
                error.read = read
                raise
        answer = self.use_case.respond(request, self.model.facts.output.score(prediction))
        return Prediction(answer, model_input.evidence, prediction, read)

    async def judged_features(self, entity: Entity) -> list[JudgedFeature]:
        """Each feature of one entity in the store. Raises EntityNotFound, and as `predict` does."""
        assert isinstance(self.features, StoreInput)  # noqa: S101 - the route exists only for such use cases
        with self.worker.concurrency_limit.slot(), self.in_use():
            return await self.features.judged_features(entity, self._trained)

    async def look_up(self, requests: Sequence[BaseModel]) -> PendingInputs:
        """The model inputs of many requests, to be judged in a thread. Raises what a lookup of the features raises."""
        return await self.features.look_up(requests, self._trained)

    async def _score(self, rows: Sequence[Row]) -> Sequence[ModelPrediction | Exception]:
        """Calls a compiled model directly, any other in a thread: its 20 ms would block the event loop."""
        self.worker.metrics.batch_size.observe(len(rows))
        if self.model.blocking:
            return await asyncio.to_thread(_score_each, self.model, rows)
        return _score_each(self.model, rows)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Counts the block as a request in flight."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def idle(self) -> None:
        """Waits until no request is in flight; no new one may be assigned."""
        while self._in_flight:
            await asyncio.sleep(0.05)


def input_type(use_case: UseCase) -> type[FeatureSource]:
    """The kind of source that the use case's features have."""
    match use_case.source:
        case FromStore(given=given):
            return MixedInput if given else StoreInput
        case FromRequest():
            return RequestInput


def _score_each(model: ServedModel, rows: Sequence[Row]) -> Sequence[ModelPrediction | Exception]:
    """A prediction or an exception for each row: where the batch fails, each row is scored alone."""
    try:
        checked = model.facts.output.checked
        return [checked(prediction) for prediction in model.predict(rows)]
    except Exception as error:
        return [error] if len(rows) == 1 else [_score_each(model, [row])[0] for row in rows]


def identity(model: ServedModel, lineage: Lineage) -> dict[str, Any]:
    """The members of ModelIdentity."""
    facts = model.facts
    return {
        "name": lineage.name,
        "version": lineage.version,
        "run_id": lineage.run_id,
        "bento": lineage.bento,
        "fingerprint": facts.fingerprint,
        "feature_service": facts.contract.feature_service or None,
        "as_of": facts.as_of,
        "git_commit": facts.code_version,
    }
