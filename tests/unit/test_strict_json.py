"""A body that comes in pieces, too late, or not at all."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope

from asof.serving import strict_json
from asof.serving.strict_json import read_body

JSON: Scope = {"type": "http", "headers": [(b"content-type", b"application/json")]}


def read(messages: Sequence[Message]) -> bytes:
    """The body that arrives in these messages; after them nothing more comes."""
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.sleep(3600)
        return left.pop(0)

    return asyncio.run(read_body(JSON, receive))


def test_the_pieces_of_a_body_are_joined() -> None:
    pieces = [{"type": "http.request", "body": b"[1", "more_body": True}, {"type": "http.request", "body": b"]"}]
    assert read(pieces) == b"[1]"


def test_a_body_that_does_not_arrive_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "PATIENCE", 0.01)
    with pytest.raises(HTTPException, match="did not arrive") as refused:
        read([{"type": "http.request", "body": b"[1", "more_body": True}])
    assert refused.value.status_code == 408


def test_a_client_that_goes_away_gets_no_answer() -> None:
    with pytest.raises(ClientDisconnect):
        read([{"type": "http.request", "body": b"[1", "more_body": True}, {"type": "http.disconnect"}])
