"""POST /predict/batch without a server: the response, and what runs in the batch thread."""

import asyncio
import json
import threading
from typing import Any

import pytest
from starlette.datastructures import State

from asof.serving.batch import predict_batch
from asof.serving.batch.answer_formats import answer_format
from asof.serving.batch.outcomes import ARROW
from asof.serving.batch.predict_batch import PredictBatch
from asof.serving.batch.work import CHUNK_SIZE
from asof.serving.http.strict_json import JSON
from tests.kits.service.batch import CANCER, live_with, predictor, request


def sent(body: bytes, *, kind: str = JSON, accept: str = JSON, pause: float = 0) -> tuple[int, bytes]:
    """Status and body of the answer to a client that takes `pause` seconds for each chunk."""
    messages: list[Any] = []
    headers = [(b"content-type", kind.encode()), (b"accept", accept.encode())]
    scope = {"type": "http", "method": "POST", "path": "/predict/batch", "headers": headers}
    scope["state"] = {"request_id": "8c5f2a"}

    async def main() -> None:
        received = asyncio.Queue[Any]()
        received.put_nowait({"type": "http.request", "body": body})

        async def send(message: Any) -> None:
            messages.append(message)
            await asyncio.sleep(pause if "body" in message else 0)

        state = State({"live": live_with(predictor())})
        await PredictBatch(state, CANCER.request)(scope, received.get, send)

    asyncio.run(main())
    return messages[0]["status"], b"".join(each.get("body", b"") for each in messages[1:])


def test_a_batch_is_one_document_under_the_requests_id() -> None:
    status, body = sent(json.dumps({"instances": [request(5.0).model_dump(exclude_none=True)]}).encode())
    assert status == 200
    document = json.loads(body)
    assert document["request_id"] == "8c5f2a"
    assert len(document["predictions"]) == 1


def test_an_arrow_body_is_refused_with_the_type_that_is_accepted() -> None:
    status, body = sent(b"ARROW?", kind=ARROW)
    document = json.loads(body)
    assert (status, document["code"]) == (415, "unsupported-media-type")
    assert document["detail"] == f"Send the body as Content-Type: {JSON}, not {ARROW!r}."


@pytest.mark.parametrize("pause", [0.04, 60.0], ids=["a little at a time", "nothing"])
def test_a_slow_client_is_disconnected_with_an_incomplete_answer(pause: float, monkeypatch: pytest.MonkeyPatch) -> None:
    many = json.dumps({"instances": [1] * 5 * CHUNK_SIZE}).encode()
    assert len(json.loads(sent(many)[1])["predictions"]) == 5 * CHUNK_SIZE
    monkeypatch.setattr(predict_batch, "SEND_TIMEOUT", 0.1)
    incomplete = sent(many, pause=pause)[1]
    with pytest.raises(json.JSONDecodeError):
        json.loads(incomplete)


@pytest.mark.parametrize("accept", [JSON, ARROW])
def test_the_format_is_chosen_and_imported_in_the_batch_thread(accept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def watched(accept: str) -> Any:
        threads.append(threading.current_thread().name)
        return answer_format(accept)

    monkeypatch.setattr(predict_batch, "answer_format", watched)
    assert sent(json.dumps({"instances": [1]}).encode(), accept=accept)[0] == 200
    (thread,) = threads
    assert thread.startswith("batch")
