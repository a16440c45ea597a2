"""A request that holds the features -> the model's input, each value near what the model was trained on."""

import asyncio
from collections.abc import Callable, Sequence

from pydantic import BaseModel

from asof.errors import InvalidRequest, Overloaded
from asof.model_facts import ModelFacts
from asof.serving.batch.inputs import Inputs, admit_given
from asof.serving.evidence import RequestEvidence
from asof.serving.input import Input
from asof.serving.ranges import Outside, outside
from asof.serving.verdicts import Verdict
from asof.use_case import FromRequest


class RequestInput:
    """The features of one model, as its requests give them."""

    evidence = RequestEvidence
    problems = (InvalidRequest, Overloaded)

    def __init__(self, source: FromRequest, facts: ModelFacts) -> None:
        self._source, self._ranges = source, facts.ranges

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

    async def read(self, request: BaseModel) -> Input:
        """The values of the request. Raises InvalidRequest where one lies too far from the training range."""
        return self._read(request)

    async def read_many(self, requests: Sequence[BaseModel]) -> Callable[[], Inputs]:
        """The values of each request, judged as `read` does when the result is called, in whatever thread."""
        return lambda: admit_given(map(self._read_or_refuse, requests), self._source.contract.names)

    def _read_or_refuse(self, request: BaseModel) -> Input | InvalidRequest:
        try:
            return self._read(request)
        except InvalidRequest as error:
            return error

    def _read(self, request: BaseModel) -> Input:
        given = self._source.given(request)
        flags = [_flag(each) for each in outside(given, self._ranges)]
        return Input({each.name: each.value for each in given}, {"flags": flags})


def _flag(found: Outside) -> dict[str, object]:
    return {
        "feature": found.given.name,
        "verdict": Verdict.OUTSIDE,
        "value": found.given.value,
        "trained_from": found.low,
        "trained_to": found.high,
        "ranges_away": found.ranges_away,
    }
