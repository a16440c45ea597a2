"""A body that comes in pieces, too late, or not at all."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope

from asof.serving.http.strict_json import BODY_TIMEOUT, MAX_BODY_BYTES, read_body

JSON: Scope = {"type": "http", "headers": [(b"content-type", b"application/json")]}


def read(messages: Sequence[Message], *headers: tuple[bytes, bytes], timeout: float = BODY_TIMEOUT) -> bytes:
    """The body that arrives in these messages; after them nothing more comes."""
    left = list(messages)
    scope = {**JSON, "headers": [*JSON["headers"], *headers]}

    async def receive() -> Message:
        if not left:
            await asyncio.sleep(3600)
        return left.pop(0)

    return asyncio.run(read_body(scope, receive, timeout=timeout))


def test_the_chunks_of_a_body_are_joined() -> None:
    pieces = [{"type": "http.request", "body": b"[1", "more_body": True}, {"type": "http.request", "body": b"]"}]
    assert read(pieces) == b"[1]"


def test_a_body_that_does_not_arrive_times_out() -> None:
    with pytest.raises(HTTPException, match="did not arrive") as refused:
        read([{"type": "http.request", "body": b"[1", "more_body": True}], timeout=0.01)
    assert refused.value.status_code == 408


def test_a_disconnect_of_the_client_is_raised() -> None:
    with pytest.raises(ClientDisconnect):
        read([{"type": "http.request", "body": b"[1", "more_body": True}, {"type": "http.disconnect"}])


CODINGS = [b"gzip", b"GZIP", b"gzip, identity", b"identity,br", b"deflate", b"x-unknown", b" gzip ", b",gzip"]


@pytest.mark.parametrize("value", CODINGS)
def test_a_body_in_a_content_coding_is_refused_before_it_is_read(value: bytes) -> None:
    with pytest.raises(HTTPException, match="without Content-Encoding") as refused:
        read([], (b"content-encoding", value))
    assert (refused.value.status_code, refused.value.headers) == (415, {"Accept-Encoding": "identity"})


def test_one_coding_of_several_headers_is_enough() -> None:
    with pytest.raises(HTTPException, match="gzip"):
        read([], (b"content-encoding", b"identity"), (b"content-encoding", b"gzip"))


@pytest.mark.parametrize("value", [b"identity", b"IDENTITY", b"", b" ", b"identity, Identity"])
def test_a_body_as_it_is_may_say_so(value: bytes) -> None:
    assert read([{"type": "http.request", "body": b"[1]"}], (b"content-encoding", value)) == b"[1]"


@pytest.mark.parametrize("value", [b"gzip, chunked", b"GZIP,chunked", b"deflate, gzip, chunked"])
def test_a_body_in_a_transfer_coding_is_refused(value: bytes) -> None:
    with pytest.raises(HTTPException, match="Transfer-Encoding") as refused:
        read([], (b"transfer-encoding", value))
    assert refused.value.status_code == 501


@pytest.mark.parametrize("length", [MAX_BODY_BYTES + 1, 10**30])
def test_a_body_that_is_declared_too_long_is_not_read(length: int) -> None:
    with pytest.raises(HTTPException) as refused:
        read([], (b"content-length", b"%d" % length))
    assert refused.value.status_code == 413


def test_a_body_longer_than_its_content_length_is_too_long() -> None:
    with pytest.raises(HTTPException) as refused:
        read([{"type": "http.request", "body": b"1" * (MAX_BODY_BYTES + 1)}], (b"content-length", b"1"))
    assert refused.value.status_code == 413
