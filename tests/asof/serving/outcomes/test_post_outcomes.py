"""POST /outcomes on a real ledger: the answer, what refuses a request as a whole, and a database that is away."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from asof.errors import LedgerUnavailable
from asof.serving.api.routes import create_app
from asof.serving.http.boundary import Boundary
from asof.serving.logs.access_log import AccessLog
from asof.serving.outcomes import writer
from asof.serving.prediction.worker import Worker
from asof.settings import Settings
from asof.use_cases import load
from tests.kits.ledger.answers import MadeAnswer, add_answers, only

CHURN = load("churn")
AS_OF, AT = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
GOOD = {"entity": "7590-VHVEG", "as_of": "2024-01-31", "outcome": True, "observed_at": "2024-02-29T00:00:00Z"}


@pytest.fixture(autouse=True)
def _answered(own_ledger: Settings) -> None:
    only(own_ledger, MadeAnswer(AT, "7590-VHVEG", AS_OF))


def sent(settings: Settings, *bodies: Any, key: str | None = None, charge: Any = None) -> list[httpx.Response]:
    """The answers to bodies that are sent at once: bytes as they are, anything else as JSON."""
    app = create_app(CHURN)
    app.state.live = SimpleNamespace(worker=Worker(settings, CHURN, bento="none:1"))

    async def keyed(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"key": key, "charge": charge} if key else {}
        await Boundary(app, access_log=AccessLog(on=False))(scope, receive, send)

    async def main() -> list[httpx.Response]:
        transport = httpx.ASGITransport(keyed)
        headers = {"Content-Type": "application/json"}
        async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
            texts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in bodies]
            return await asyncio.gather(*(client.post("/outcomes", content=each) for each in texts))

    return asyncio.run(main())


def kept(settings: Settings) -> list[Any]:
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        return connection.execute("SELECT entity, outcome, source FROM ledger.outcomes ORDER BY id").fetchall()


def test_each_item_is_answered_in_order(own_ledger: Settings) -> None:
    items = [GOOD, GOOD, {**GOOD, "outcome": False}, {**GOOD, "entity": "nobody"}, {**GOOD, "outcome": "yes"}, 7]
    (response,) = sent(own_ledger, {"outcomes": items}, key="crm")
    answer = response.json()
    verdicts = ["accepted", "unchanged", "corrected", "unknown", "rejected", "rejected"]
    assert (response.status_code, [each["verdict"] for each in answer["outcomes"]]) == (200, verdicts)
    assert {each: answer[each] for each in dict.fromkeys(verdicts)} == {each: verdicts.count(each) for each in verdicts}
    assert [each.get("reason") for each in answer["outcomes"][:4]] == [
        *[None] * 3,
        "the ledger has no answer for this entity",
    ]
    assert answer["request_id"] == response.headers["X-Request-ID"]
    assert kept(own_ledger) == [("7590-VHVEG", True, "api:crm"), ("7590-VHVEG", False, "api:crm")]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid-request"),
        (b"{", 422, "invalid-request"),
        (b'{"outcomes": [NaN]}', 422, "invalid-request"),
        (b'{"outcomes": [], "outcomes": []}', 422, "invalid-request"),
        ({"outcomes": []}, 422, "invalid-request"),
        ({"outcomes": [GOOD], "x": 1}, 422, "invalid-request"),
        ([GOOD], 422, "invalid-request"),
        ({"outcomes": [1] * 10_001}, 413, "too-many-instances"),
        (b" " * (16 * 2**20 + 1), 413, "body-too-large"),
    ],
)
def test_a_body_that_is_refused_as_a_whole_adds_nothing(
    own_ledger: Settings, body: Any, status: int, code: str
) -> None:
    (response,) = sent(own_ledger, body)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert not kept(own_ledger)


def test_ten_thousand_are_one_request(own_ledger: Settings) -> None:
    with psycopg.connect(own_ledger.ledger_conninfo()) as connection:
        add_answers(connection, *(MadeAnswer(AT, f"u{n}", AS_OF) for n in range(10)))
    items = [{**GOOD, "entity": f"u{n % 20}", "key": str(n)} for n in range(10_000)]
    (response,) = sent(own_ledger, {"outcomes": items})
    assert (response.json()["accepted"], response.json()["unknown"]) == (5000, 5000)
    assert len(kept(own_ledger)) == 5000


def test_more_requests_than_may_run_at_once_are_told_to_wait(own_ledger: Settings) -> None:
    statuses = [each.status_code for each in sent(own_ledger, *[{"outcomes": [GOOD]}] * 6)]
    assert set(statuses) == {200, 429}
    assert len(kept(own_ledger)) == 1


def test_each_item_counts_for_the_rate_of_a_key(own_ledger: Settings) -> None:
    charged: list[int] = []
    sent(own_ledger, {"outcomes": [GOOD] * 5}, key="crm", charge=charged.append)
    assert charged == [4]  # besides the request


def unavailable(response: httpx.Response) -> str:
    assert (response.status_code, response.json()["code"]) == (503, "ledger-unavailable")
    assert response.headers["Retry-After"] == "5"
    return str(response.json()["detail"])


def test_a_database_that_is_away_is_a_503(own_ledger: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    away = own_ledger.model_copy(update={"ledger_url": SecretStr(f"postgresql://a:secret@127.0.0.1:{port}/asof")})
    assert unavailable(*sent(away, {"outcomes": [GOOD]})) == (
        "The ledger's database does not answer: send the outcomes again; none was kept."
    )


def test_a_database_that_accepts_and_says_nothing_is_a_503_in_time(
    own_ledger: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "DEADLINE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://a:secret@127.0.0.1:{silent.getsockname()[1]}/asof?connect_timeout=2"
        mute = own_ledger.model_copy(update={"ledger_url": SecretStr(url)})
        begun = time.monotonic()
        assert "within 0.3 s" in unavailable(*sent(mute, {"outcomes": [GOOD]}))
        assert time.monotonic() - begun < 4


def test_nothing_is_written_where_the_deadline_passes_amid_the_transaction(
    own_ledger: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "DEADLINE", 0.5)
    with psycopg.connect(own_ledger.ledger_conninfo()) as connection:
        connection.execute("LOCK TABLE ledger.outcomes IN ACCESS EXCLUSIVE MODE")
        unavailable(*sent(own_ledger, {"outcomes": [GOOD]}))
    assert not kept(own_ledger)
    (response,) = sent(own_ledger, {"outcomes": [GOOD]})
    assert response.json()["accepted"] == 1


def test_a_ledger_without_tables_is_a_503_that_says_how_to_make_them(server: Settings, tmp_path: Path) -> None:
    detail = unavailable(*sent(server, {"outcomes": [GOOD]}))
    assert "python -m flows databases" in detail


def test_a_read_only_role_may_write_outcomes_where_it_is_granted(own_ledger: Settings) -> None:
    url = own_ledger.database().update_query_dict({"options": "-c default_transaction_read_only=on"})
    read_only = own_ledger.model_copy(update={"ledger_url": SecretStr(url.render_as_string(hide_password=False))})
    (response,) = sent(read_only, {"outcomes": [GOOD]})
    assert response.status_code == 200, response.text


class Relay:
    """Passes bytes between clients and PostgreSQL; after `word` of a client nothing passes on that connection."""

    def __init__(self, settings: Settings, word: bytes) -> None:
        url = settings.database()
        self._server, self._word = (url.host, url.port), word
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(self._server)
                self._open += [client, server]
                threading.Thread(target=self._passed, args=(client, server, self._word), daemon=True).start()
                threading.Thread(target=self._passed, args=(server, client, None), daemon=True).start()

    def _passed(self, source: socket.socket, target: socket.socket, word: bytes | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if word and word in data:
                    return
                target.sendall(data)

    def close(self) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def test_a_connection_that_hangs_amid_the_transaction_leaves_nothing_and_frees_the_thread(
    own_ledger: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "DEADLINE", 0.7)
    relay = Relay(own_ledger, b"INSERT INTO ledger.outcomes")
    through = own_ledger.model_copy(update={"ledger_url": SecretStr(relay.url)})
    outcomes = writer.OutcomeWriter(through, CHURN)

    async def hangs() -> None:
        with pytest.raises(LedgerUnavailable, match="within"):
            await outcomes.write([GOOD], "api")

    asyncio.run(hangs())
    assert not kept(own_ledger)
    monkeypatch.setattr(writer, "DEADLINE", 10.0)
    results = asyncio.run(outcomes.write([{**GOOD, "entity": "nobody"}], "api"))
    assert [each.verdict for each in results] == ["unknown"]
    relay.close()
