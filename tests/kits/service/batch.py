"""For tests of batches: predictors of breast cancer with a made-up model, and requests for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from numpy.typing import NDArray
from pydantic import BaseModel

from asof.inference.ranges import TrainingRanges
from asof.inference.served_model import ServedModel
from asof.model_facts import Lineage, ModelFacts
from asof.serving.batch.instances import Instance
from asof.serving.batch.outcomes import Answered
from asof.serving.batch.work import Batch, BatchThread
from asof.serving.features.inputs import PendingInputs
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import Predictor
from asof.serving.prediction.worker import Worker
from asof.settings import Settings
from asof.use_cases import load
from asof.use_cases.breast_cancer.data import CONTRACT, EXAMPLE
from asof.use_cases.breast_cancer.payloads import BreastCancerRequest

CANCER = load("breast_cancer")
ODD = 666.0
"""A mean radius at which the made-up model fails."""


@dataclass
class MadeUp:
    """A runtime that returns a thousandth of the mean radius and fails at those in `fails`; `calls` counts the rows."""

    fails: Sequence[float] = ()
    name: str = "made up"
    blocking: bool = False
    calls: list[int] = field(default_factory=list)

    def predict(self, arrays: Mapping[str, NDArray[Any]]) -> list[float]:
        radii: list[float] = arrays["mean radius"].tolist()
        self.calls.append(len(radii))
        if odd := [radius for radius in radii if radius in self.fails]:
            raise ValueError(f"the model fails at {odd[0]}")
        return [radius / 1000 for radius in radii]


def make_worker() -> Worker:
    return Worker(Settings(), CANCER, bento="breast_cancer:v1")


def live_with(own: Predictor, *, settled: bool = True) -> LiveModel:
    """A LiveModel with this predictor."""
    return LiveModel(own.worker, own, settled=settled)


def predictor(version: str = "1", *fails: float, worker: Worker | None = None) -> Predictor:
    """A predictor whose model fails at these radii."""
    facts = ModelFacts(
        use_case="breast_cancer",
        estimator="made up",
        contract=CONTRACT,
        threshold=0.5,
        as_of=datetime(1995, 11, 1, tzinfo=UTC),
        known_at=datetime(1995, 11, 1, tzinfo=UTC),
        fingerprint="f" * 64,
        random_state=7,
        git_commit="c" * 40,
        git_dirty=False,
    )
    model = ServedModel(MadeUp(fails), facts, {})
    lineage = Lineage("breast_cancer", version, "a" * 32, "breast_cancer:v1")
    return Predictor(model, lineage, worker or make_worker())


def request(radius: float) -> BreastCancerRequest:
    """The example with another mean radius."""
    return BreastCancerRequest(features=[radius, *EXAMPLE[1:]])


class LookupFeatures:
    """A predictor's features after a lookup that may fail: `error(n)` is raised by the n-th, from 1."""

    def __init__(self, of: Predictor, error: Callable[[int], Exception | None] = lambda number: None) -> None:
        self._own, self._error = of.features, error
        self.evidence = of.features.evidence
        self.lookups = 0

    async def look_up(self, requests: Sequence[BaseModel], trained: TrainingRanges) -> PendingInputs:
        self.lookups += 1
        if error := self._error(self.lookups):
            raise error
        return await self._own.look_up(requests, trained)


async def answered(live: LiveModel, instances: Sequence[Instance]) -> list[Answered]:
    """All outcomes of a batch."""
    batch = Batch(live, BatchThread(), request_id="8c5f2a")
    return [each async for chunk in batch.chunks(instances) for each in chunk]
