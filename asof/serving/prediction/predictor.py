"""A request of the use case -> its answer, with the evidence for it. No HTTP, no BentoML."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from pydantic import BaseModel

from asof.errors import AsOfError, ExplanationTooSlow, ExplanationUnavailable, LedgerFull
from asof.features.join_keys import Entity
from asof.inference.explanation.explainer import Explained, Explainer
from asof.inference.ranges import TrainingRanges
from asof.inference.served_model import ServedModel
from asof.inference.verdicts import JudgedFeature
from asof.ledger.answers import Answer, Single
from asof.ledger.model_record import record_of
from asof.ledger.spool.encoder import Encoder
from asof.model_facts import Lineage
from asof.serving.features.batching import Batcher
from asof.serving.features.inputs import ModelInput, PendingInputs
from asof.serving.features.mixed_input import MixedInput
from asof.serving.features.online_features import OnlineFeatures
from asof.serving.features.options import asks_why, explanation_payload
from asof.serving.features.request_input import RequestInput
from asof.serving.features.store.replica_watch import ReplicaWatch
from asof.serving.features.store_input import StoreInput
from asof.serving.ledger.keeper import Kept
from asof.serving.prediction.worker import Worker
from asof.targets import Prediction as ModelPrediction
from asof.use_case import FromRequest, FromStore, UseCase

Row = Mapping[str, Any]
FeatureSource = StoreInput | RequestInput


class Prediction(NamedTuple):
    """The use case's answer, the further members on the features behind it, and the model's prediction.

    `kept`: how the ledger keeps a single answer; those of a batch are kept later.
    """

    answer: BaseModel
    evidence: Mapping[str, Any]
    score: ModelPrediction
    kept: Kept = Kept.NONE


class Mark(NamedTuple):
    """A request's id, and the name of its API key."""

    request_id: str
    api_key: str | None = None


class _Job(NamedTuple):
    """A request with its features, to be predicted, and the explanation that it asks for."""

    request: BaseModel
    model_input: ModelInput
    mark: Mark
    explained: Explained | None = None

    @property
    def evidence(self) -> Mapping[str, Any]:
        """The members of the answer beside the use case's."""
        if self.explained is None:
            return self.model_input.evidence
        return {
            **self.model_input.evidence,
            "explanation": explanation_payload(self.explained, self.model_input.values),
        }


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
        self.identity = identity(model, lineage)
        self.encoder = Encoder(record_of(self.use_case, lineage, model.facts))
        self._batcher: Batcher[_Job, Prediction] = Batcher(self._predict)
        self._in_flight = 0

    def _feature_source(self) -> FeatureSource:
        match self.use_case.source:
            case FromStore(given=given):
                settings, metrics = self.worker.settings, self.worker.metrics
                replicas = ReplicaWatch(settings, metrics) if settings.looks_up_at_replicas else None
                features = OnlineFeatures(settings, self.model.facts.contract.stored, replicas=replicas)
                parts = settings, features, metrics
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

    async def predict(self, request: BaseModel, mark: Mark) -> Prediction:
        """Reads and judges the features, calls the model, and keeps the answer.

        Raises LedgerFull, the errors in the source's `problems`, ExplanationUnavailable and ExplanationTooSlow: its
        caller keeps those.
        """
        if asks_why(request):
            return await self._predict_why(request, mark)
        with self.worker.concurrency_limit.slot(), self.in_use():
            model_input = await self.features.read(request, self._trained)
            return await self._batcher.submit(_Job(request, model_input, mark))

    async def _predict_why(self, request: BaseModel, mark: Mark) -> Prediction:
        """The same with an explanation, which comes first: a prediction is kept as soon as it is made.

        It has no slot meanwhile: a slow one must not lower the limit of plain requests.
        """
        slot = self.worker.concurrency_limit.slot
        if self.model.explainer is None:
            raise self._unavailable()
        with self.in_use():
            with slot():
                model_input = await self.features.read(request, self._trained)
            explained = await self._explained(self.model.explainer, model_input)
            with slot():
                return await self._batcher.submit(_Job(request, model_input, mark, explained))

    async def _explained(self, explainer: Explainer, model_input: ModelInput) -> Explained:
        """One at a time in a thread, unless it is quick."""
        work = partial(self.model.explain, model_input.values, monotonic() + self.worker.settings.explain_seconds)
        try:
            if not explainer.blocking:
                return work()
            with self.worker.explanation_limit.slot():
                return await asyncio.get_running_loop().run_in_executor(self.worker.explaining, work)
        except ExplanationTooSlow as error:
            error.read = model_input.read
            raise

    def _unavailable(self) -> ExplanationUnavailable:
        version, estimator = self.lineage.version, self.model.facts.estimator
        return ExplanationUnavailable(
            f"Version {version} of {self.lineage.name} (estimator {estimator}) has no exact explanation: ask without "
            f"explain. The tag not_explained of run {self.lineage.run_id} says why."
        )

    async def judged_features(self, entity: Entity) -> list[JudgedFeature]:
        """Each feature of one entity in the store. Raises EntityNotFound, and as `predict` does."""
        assert isinstance(self.features, StoreInput)  # noqa: S101 - the route exists only for such use cases
        with self.worker.concurrency_limit.slot(), self.in_use():
            return await self.features.judged_features(entity, self._trained)

    async def look_up(self, requests: Sequence[BaseModel]) -> PendingInputs:
        """The model inputs of many requests, to be judged in a thread. Raises what a lookup of the features raises."""
        return await self.features.look_up(requests, self._trained)

    async def _predict(self, jobs: Sequence[_Job]) -> Sequence[Prediction | Exception]:
        """The predictions of requests that wait together; kept together before any of them is answered."""
        scores: Sequence[Any] = await self._scores([each.model_input.values for each in jobs])
        answers, kept = [self._respond(*each) for each in zip(jobs, scores, strict=True)], Kept.NONE
        try:
            kept = await self._keep(jobs, scores, answers)
        except LedgerFull as error:
            answers = [each if isinstance(each, Exception) else error for each in answers]
        return [
            answer if isinstance(answer, Exception) else Prediction(answer, job.evidence, score, kept)
            for job, score, answer in zip(jobs, scores, answers, strict=True)
        ]

    async def _keep(
        self, jobs: Sequence[_Job], scores: Sequence[Any], answers: Sequence[BaseModel | Exception]
    ) -> Kept:
        """Keeps the answers that are none of an exception."""
        good = [place for place, each in enumerate(answers) if not isinstance(each, Exception)]
        if not (good and self.worker.ledger.on):
            return Kept.NONE
        decisions = self.model.facts.output.decisions([scores[place] for place in good])
        entity = self.worker.entity_text
        singles = [
            Single(
                *jobs[place].mark,
                Answer(entity(jobs[place].request), 200, None, scores[place], decision),
                jobs[place].model_input.read,
            )
            for place, decision in zip(good, decisions, strict=True)
        ]
        return await self.worker.ledger.keep(self, singles)

    async def _scores(self, rows: Sequence[Row]) -> Sequence[ModelPrediction | Exception]:
        """Calls a compiled model directly, any other in a thread: its 20 ms would block the event loop."""
        self.worker.metrics.batch_size.observe(len(rows))
        if self.model.blocking:
            return await asyncio.to_thread(_score_each, self.model, rows)
        return _score_each(self.model, rows)

    def _respond(self, job: _Job, score: ModelPrediction | Exception) -> BaseModel | Exception:
        """The use case's answer, or the exception of the model or of the use case."""
        if isinstance(score, AsOfError):
            score.read = job.model_input.read
        if isinstance(score, Exception):
            return score
        if job.explained and not job.explained.agrees_with(score):
            error = self._unavailable()
            error.read = job.model_input.read
            return error
        try:
            return self.use_case.respond(job.request, self.model.facts.output.score(score))
        except Exception as error:  # of a use case
            return error

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
