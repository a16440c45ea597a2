"""Who takes the fast lane, and who does not."""

import asyncio
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from asof.serving.api.predict import FastLane


def noting(name: str, taken: list[str]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        taken.append(name)

    return app


def way(scope: Scope) -> list[str]:
    """Which application was asked."""
    taken: list[str] = []
    lane = FastLane(noting("whole", taken), lane={"/predict": noting("endpoint", taken)}.get)

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    asyncio.run(lane(scope, nothing, nothing))
    return taken


REQUEST: Scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [(b"accept", b"*/*")]}


def test_a_prediction_goes_straight_to_its_endpoint() -> None:
    assert way(REQUEST) == ["endpoint"]


@pytest.mark.parametrize(
    "other",
    [
        {"headers": [(b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]},
        {"method": "GET"},
        {"path": "/model"},
        {"path": "/predict/"},
        {"type": "lifespan"},
    ],
)
def test_everything_else_goes_through_the_whole_application(other: dict[str, Any]) -> None:
    assert way(REQUEST | other) == ["whole"]
