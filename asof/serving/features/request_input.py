"""Model input from the features in a request, each value near the training range."""

import asyncio
from collections.abc import Sequence

from pydantic import BaseModel

from asof.errors import InvalidRequest, Overloaded
from asof.inference.ranges import TrainingRanges, outside_values
from asof.ledger.answers import ReadValues
from asof.serving.features.evidence import RequestEvidence
from asof.serving.features.inputs import ModelInput, PendingInputs, request_inputs
from asof.use_case import FromRequest


class RequestInput:
    """The source of features that come in the request. There is nothing to open, close or check."""

    evidence = RequestEvidence
    problems = (InvalidRequest, Overloaded)

    def __init__(self, source: FromRequest) -> None:
        self._source = source

    def start(self) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def close(self) -> None:
        pass

    async def check(self) -> str:
        return "not used: the features come in the request"

    async def read(self, request: BaseModel, trained: TrainingRanges) -> ModelInput:
        """The values of the request. Raises InvalidRequest where one is too far outside its training range."""
        return self._read(request, trained)

    async def look_up(self, requests: Sequence[BaseModel], trained: TrainingRanges) -> PendingInputs:
        """The values of each request, to be judged as `read` does."""
        return lambda: request_inputs((self._result(each, trained) for each in requests), self._source.contract.names)

    def _result(self, request: BaseModel, trained: TrainingRanges) -> ModelInput | InvalidRequest:
        try:
            return self._read(request, trained)
        except InvalidRequest as error:
            return error

    def _read(self, request: BaseModel, trained: TrainingRanges) -> ModelInput:
        features = self._source.features(request)
        values = {each.name: each.value for each in features}
        try:
            flags = [each.flag for each in outside_values(features, trained.ranges)]
        except InvalidRequest as error:
            error.read = ReadValues(values, {})
            raise
        return ModelInput(values, {"flags": flags})
