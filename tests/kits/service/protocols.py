"""For tests of the protocols: users of the serving contract, random bodies, and the app without BentoML."""

import json
import random
import string
from collections.abc import Callable, Iterator
from typing import Any

from starlette.types import ASGIApp

from asof.serving.api.routes import create_app
from asof.serving.http.boundary import Boundary
from asof.serving.logs.access_log import AccessLog
from asof.serving.prediction.live import LiveModel
from asof.serving.protocols.routes import add_protocols
from asof.use_case import UseCase

CONTRACT = (
    *("good", "no-internet", "old-support", "coming-payments", "nobody", "null-fee", "only-users", "old-usage"),
    *("coming-usage", "~" * 500, "José-1", "Zoe\u0308", "'", '"', "a//b", ".."),
    *("", "a ", "\x00", "\ud800", "x" * 501),
)
"""A user for each row of the serving contract, and ids that are no ids."""
VALUES: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 1.5, 1e308, 2**70, "", "good", "nobody", "old-usage", "\x00", "\ud800", "é" * 40),
    *([], [[]], ["good"], [["good"], ["nobody"]], ["good", None], {}, {"a": 1}, [1], [2, 1], [1, 1], [3], [10_001]),
    *("BYTES", "INT64", "FP64", "user_id", "binary_data_size", "outputs", "probability", {"user_id": "good"}),
    *({"\ud800": ["good"]}, {"user_id": ["good", "nobody"]}, {"columns": ["user_id"], "data": [["good"]]}),
)
ALPHABET = string.printable + '{}[]":,\\u0000é'


def with_protocols(case: UseCase, live: LiveModel) -> ASGIApp:
    """The application of a use case with its protocols."""
    app = create_app(case)
    add_protocols(app, case)
    app.state.live = live
    return Boundary(app, access_log=AccessLog(on=False))


def random_bodies(make: Callable[[random.Random], Any], count: int, seed: int) -> Iterator[bytes]:
    """Six of ten are requests that `make` draws, some of them cut short; the others are any JSON or text."""
    chance = random.Random(seed)
    for _ in range(count):
        text = json.dumps(make(chance)).encode() if chance.random() < 0.6 else _noise(chance)
        yield text if chance.random() < 0.9 else text[: chance.randrange(len(text) + 1)]


def _noise(chance: random.Random) -> bytes:
    if chance.random() < 0.5:
        return json.dumps(chance.choice(VALUES)).encode()
    return "".join(chance.choices(ALPHABET, k=chance.randrange(80))).encode()
