"""A request that holds the features -> the model's input, each value near what the model was trained on."""

import asyncio
from collections.abc import Callable, Sequence

from pydantic import BaseModel

from asof.errors import InvalidRequest, Overloaded
from asof.inference.ranges import Trained, outside
from asof.serving.features.evidence import RequestEvidence
from asof.serving.features.inputs import Input, Inputs, admit_given
from asof.use_case import FromRequest


class RequestInput:
    """The features of a use case, as its requests give them."""

    evidence = RequestEvidence
    problems = (InvalidRequest, Overloaded)

    def __init__(self, source: FromRequest) -> None:
        self._source = source

    def start(self) -> "asyncio.Future[None]":
        """There is nothing to open."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def close(self) -> None:
        """There is nothing to close."""

    async def check(self) -> str:
        """There is nothing to ask."""
        return "not used: the features come in the request"

    async def read(self, request: BaseModel, trained: Trained) -> Input:
        """The values of the request. Raises InvalidRequest where one lies too far from the training range."""
        return self._read(request, trained)

    async def read_many(self, requests: Sequence[BaseModel], trained: Trained) -> Callable[[], Inputs]:
        """The values of each request, judged as `read` does when the result is called, in whatever thread."""
        return lambda: admit_given(
            (self._read_or_refuse(each, trained) for each in requests), self._source.contract.names
        )

    def _read_or_refuse(self, request: BaseModel, trained: Trained) -> Input | InvalidRequest:
        try:
            return self._read(request, trained)
        except InvalidRequest as error:
            return error

    def _read(self, request: BaseModel, trained: Trained) -> Input:
        given = self._source.features(request)
        flags = [each.flag for each in outside(given, trained.ranges)]
        return Input({each.name: each.value for each in given}, {"flags": flags})
