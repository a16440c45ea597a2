"""A request of the use case -> its answer, with what it rests on. No HTTP, no BentoML."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from asof.inference.ranges import Trained
from asof.inference.served_model import ServedModel
from asof.inference.verdicts import Reading
from asof.model_facts import Lineage
from asof.serving.features.batching import Batcher
from asof.serving.features.inputs import Inputs
from asof.serving.features.online_features import OnlineFeatures
from asof.serving.features.request_input import RequestInput
from asof.serving.features.store_input import StoreInput
from asof.serving.prediction.worker import Worker
from asof.use_case import FromRequest, FromStore, Score

Row = Mapping[str, Any]
Source = StoreInput | RequestInput


@dataclass(frozen=True)
class Prediction:
    """The use case's answer, and the members of the whole answer that tell of the features behind it."""

    answer: BaseModel
    evidence: Mapping[str, Any]


class Predictor:
    """One model with its features. `start` and `close` it inside the event loop.

    `features` are those of another model that takes the same ones out of the same store.
    """

    def __init__(self, model: ServedModel, lineage: Lineage, worker: Worker, *, features: Source | None = None) -> None:
        self.use_case, self.model, self.lineage, self.worker = worker.use_case, model, lineage, worker
        self.features = features or self._open_features()
        self._trained = Trained(model.facts)
        self._batcher: Batcher[Row, float] = Batcher(self._score)
        self._in_flight = 0

    def _open_features(self) -> Source:
        match self.use_case.source:
            case FromStore():
                features = OnlineFeatures(self.worker.settings, self.model.facts.contract)
                return StoreInput(self.worker.settings, features, self.worker.metrics)
            case FromRequest() as source:
                return RequestInput(source)

    def start(self) -> "asyncio.Future[None]":
        """Begins to open what the features come from; done when that is open. Raises ConfigurationError if unset."""
        return self.features.start()

    async def close(self) -> None:
        await self.features.close()

    async def check(self) -> str:
        """How the feature store is. Raises FeatureStoreUnavailable or FeatureContractMismatch where it is needed."""
        return await self.features.check()

    async def predict(self, request: BaseModel) -> Prediction:
        """Reads the features, judges them, and asks the model. Raises what the input's `problems` name."""
        with self._place():
            read = await self.features.read(request, self._trained)
            probability = await self._batcher.submit(read.values)
        answer = self.use_case.respond(request, Score(probability, self.model.facts.threshold))
        return Prediction(answer, read.evidence)

    async def readings(self, entity: str) -> list[Reading]:
        """Each feature of one entity, where there is a store. Raises EntityNotFound, and as `predict` does."""
        assert isinstance(self.features, StoreInput)  # noqa: S101 - asked only at an address that such use cases have
        with self._place():
            return await self.features.readings(entity, self._trained)

    async def read_many(self, requests: Sequence[BaseModel]) -> Callable[[], Inputs]:
        """What the model is to be asked with for many requests. Raises what a lookup of the features raises."""
        return await self.features.read_many(requests, self._trained)

    async def _score(self, rows: Sequence[Row]) -> Sequence[float | Exception]:
        """A compiled model here and now; another in a thread: it takes 20 ms, and the loop must go on answering."""
        self.worker.metrics.batch_size.observe(len(rows))
        if self.model.blocking:
            return await asyncio.to_thread(_score_each, self.model, rows)
        return _score_each(self.model, rows)

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        with self.worker.concurrency_limit.slot(), self.in_use():
            yield

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Counts as in flight for the time of a block."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def idle(self) -> None:
        """Waits until no request is in flight; none may come any more."""
        while self._in_flight:
            await asyncio.sleep(0.05)


def _score_each(model: ServedModel, rows: Sequence[Row]) -> Sequence[float | Exception]:
    """A probability or an exception for each row: where the batch fails, each row is tried alone."""
    try:
        return [checked(probability) for probability in model.probabilities(rows)]
    except Exception as error:
        return [error] if len(rows) == 1 else [_score_each(model, [row])[0] for row in rows]


def checked(probability: float) -> float:
    """The probability. Raises ArithmeticError where it is none."""
    if not 0 <= probability <= 1:  # nor is a NaN one
        raise ArithmeticError(f"The model gave {probability}, which is no probability.")
    return probability


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
