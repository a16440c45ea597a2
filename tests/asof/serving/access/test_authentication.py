"""Authentication as ASGI: a refused request reads no body, reaches no application, and is logged."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.types import Message, Receive, Scope, Send

from asof.serving.access.authentication import Authentication
from asof.serving.access.key_editing import add_key
from asof.serving.access.key_file import KeyFile
from asof.serving.access.rate_limits import RateLimiter
from asof.serving.logs.access_log import AccessLog


class Guarded:
    """An application behind Authentication, with one key."""

    def __init__(self, folder: Path, *scopes: str, rates: RateLimiter | None = None) -> None:
        self.key = add_key(folder / "keys", "crm", scopes or ["predict"])[1]
        self.refused = Counter("refused", "", ["code"], registry=CollectorRegistry())
        self.admitted: list[Scope] = []
        self.authentication = Authentication(
            self._application,
            keys=KeyFile(folder / "keys"),
            rates=rates,
            access_log=AccessLog(on=True),
            refused=self.refused,
        )

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.admitted.append(scope)

    def ask(self, path: str, *keys: str | None, kind: str = "http") -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            raise AssertionError("a refusal reads no body")

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {key}".encode()) for key in keys if key]
        scope = {"type": kind, "method": "POST", "path": path, "headers": headers, "client": ("127.0.0.1", 1)}
        asyncio.run(self.authentication(scope, receive, send))
        return sent

    def counted(self, code: str) -> float:
        return self.refused.labels(code)._value.get()


def problem(sent: list[Message]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(sent[1]["body"])
    assert sent[0]["status"] == document["status"]
    return document


def test_a_request_with_a_key_is_admitted_with_its_name_and_scopes(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    assert guarded.ask("/predict", guarded.key) == []
    assert guarded.admitted[0]["state"] == {"key": "crm", "scopes": {"predict"}}


@pytest.mark.parametrize(
    ("path", "key", "code"), [("/predict", None, "unauthenticated"), ("/predict", "x", "unauthenticated")]
)
def test_a_request_without_a_valid_key_is_refused(tmp_path: Path, path: str, key: str | None, code: str) -> None:
    guarded = Guarded(tmp_path)
    before = guarded.counted(code)  # metrics of one process share a file where BentoML was imported
    assert problem(guarded.ask(path, key))["code"] == code
    assert (guarded.admitted, guarded.counted(code) - before) == ([], 1)


@pytest.mark.parametrize("path", ["/livez/", "/livez/../model", "//livez", "/LIVEZ", "/readyzx"])
def test_a_path_similar_to_a_probe_needs_a_key(tmp_path: Path, path: str) -> None:
    guarded = Guarded(tmp_path)
    assert problem(guarded.ask(path, None))["code"] == "unauthenticated"
    assert problem(guarded.ask(path, guarded.key))["code"] == "forbidden"


def test_two_headers_are_refused_even_with_the_same_key(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    assert problem(guarded.ask("/predict", guarded.key, guarded.key))["code"] == "unauthenticated"


def test_a_refusal_is_logged_with_the_name_and_never_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guarded = Guarded(tmp_path)
    document = problem(guarded.ask("/model", guarded.key))
    line = json.loads(capsys.readouterr().out)
    assert (document["code"], document["scope"]) == ("forbidden", "admin")
    assert (line["key"], line["status"], line["request_id"]) == ("crm", 403, document["request_id"])
    assert guarded.key not in json.dumps([line, document])


def test_too_many_requests_of_one_key_are_not_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guarded = Guarded(tmp_path, rates=RateLimiter(0.5, 2, lambda: 7.0))
    before = guarded.counted("too-many-requests")
    sent = [guarded.ask("/predict", guarded.key) for _ in range(4)]
    assert [len(messages) for messages in sent] == [0, 0, 2, 2]
    assert problem(sent[2])["code"] == "too-many-requests"
    assert (b"retry-after", b"2") in sent[2][0]["headers"]
    assert (guarded.counted("too-many-requests") - before, capsys.readouterr().out) == (2, "")


def test_a_batch_is_charged_to_its_key(tmp_path: Path) -> None:
    rates = RateLimiter(1, 10, lambda: 7.0)
    guarded = Guarded(tmp_path, rates=rates)
    guarded.ask("/predict/batch", guarded.key)
    guarded.admitted[0]["state"]["charge"](99)
    assert rates.take("crm") == 91


def test_probes_need_no_key_and_websockets_are_refused(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    assert guarded.ask("/livez", None) == []
    assert guarded.ask("/predict", guarded.key, kind="websocket") == [{"type": "websocket.close", "code": 1008}]
    assert [scope["path"] for scope in guarded.admitted] == ["/livez"]
