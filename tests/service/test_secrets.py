"""No secret is shown: a real service and the commands, with random secrets, in success and in failure."""

import base64
import contextlib
import os
import secrets
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from asof.ledger.spool.segments import segment_paths
from asof.serving.access.key_editing import add_key
from asof.settings import Settings
from tests.kits.machine.secret import command_lines, files, leaks
from tests.kits.machine.terminal import call_flows, start_flows
from tests.kits.service import serving as kit
from tests.kits.service.serving import NOW, USER
from tests.kits.service.small_model import SmallModel

ADDRESSES = ["/model", "/docs.json", "/metrics", "/health", "/features/good", "/features/nobody", "/", "/nothing"]
BODIES = [b'{"user_id": "good"}', b'{"user_id": "nobody"}', b"{", b"[]", b'{"user_id": 1, "x": NaN}', b"\xff"]


def _pem() -> str:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return base64.b64encode(pem).decode()


@dataclass
class Recording:
    """The secrets of one service, and all that it has sent or written, by place."""

    secrets: dict[str, str]
    places: dict[str, str] = field(default_factory=dict)

    def ask(self, client: httpx.Client, day: str) -> list[int]:
        """Good and bad requests with each key; returns the statuses."""
        keys = [self.secrets[name] for name in ("caller's key", "administrator's key")]
        offered = [[], *([("Authorization", f"Bearer {key}")] for key in (*keys, keys[0][:-1]))]
        offered += [[("X-Api-Key", keys[0])], [("Authorization", f"Basic {keys[0]}")], [("Cookie", f"key={keys[1]}")]]
        statuses = []
        for headers in offered:
            answers = [client.get(path, headers=headers, params={"key": keys[0]}) for path in ADDRESSES]
            for path in ("/predict", "/predict/batch"):
                sent_headers = [*headers, ("Content-Type", "application/json")]
                answers += [client.post(path, content=body, headers=sent_headers) for body in BODIES]
            for number, answer in enumerate(answers):
                place = f"answer {number} of {answer.request.url.path} on {day}"
                self.places[place] = self.places.get(place, "") + f"{answer.headers}{answer.text}"
                statuses.append(answer.status_code)
        return statuses

    def assert_nothing_leaked(self) -> None:
        assert leaks(self.secrets, self.places) == []


@pytest.fixture(scope="module")
def user(settings: Settings, small_model: SmallModel) -> Iterator[tuple[Settings, str]]:
    """A login role with a random password, and settings that use it."""
    name, password = f"secrets_{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{password}'")
        url = settings.database().set(username=name, password=password).render_as_string(hide_password=False)
        yield settings.model_copy(update={"postgres_url": SecretStr(url)}), password
        connection.execute(f"DROP ROLE {name}")


@pytest.fixture
def echo() -> Iterator[str]:
    """A server in place of MLflow that refuses every request and returns its headers; its host and port."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = str(self.headers).encode()
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _recording(user: tuple[Settings, str], folder: Path) -> tuple[Recording, dict[str, str]]:
    """Secrets, and the variables of a service that has them all."""
    file = folder / "keys"
    recording = Recording(
        {
            "PostgreSQL's password": user[1],
            "the registry's password": secrets.token_urlsafe(24),
            "the signing key": _pem(),
            "caller's key": add_key(file, "crm", ["predict"])[1],
            "administrator's key": add_key(file, "ops", ["admin"])[1],
        }
    )
    variables = {
        "ASOF_API_KEYS": str(file),
        "ASOF_SIGNING_KEY_TEXT": recording.secrets["the signing key"],
        "ASOF_LEDGER": "process",
        "ASOF_LEDGER_SPOOL": str(folder / "ledger"),
        "ASOF_LEDGER_SHIP": "False",
        "ASOF_CLOCK": NOW.isoformat(),
        "ASOF_FOLLOW": "production",
        "ASOF_FOLLOW_SECONDS": "0.3",
    }
    return recording, variables


def test_no_secret_is_shown_by_a_service_with_and_without_its_store(
    user: tuple[Settings, str], small_model: SmallModel, echo: str, tmp_path: Path
) -> None:
    settings = user[0]
    kit.write_users(settings, {"good": USER}, NOW - timedelta(days=10))
    recording, variables = _recording(user, tmp_path)
    registry_password = recording.secrets["the registry's password"]
    variables["ASOF_REGISTRY_URL"] = f"http://mlflow:{registry_password}@{echo}"
    with kit.serving(settings, small_model.bundle.bento_tag, tmp_path, **variables) as client:
        assert {200, 401, 403, 404, 422} <= set(recording.ask(client, "a good day"))
        recording.places["ps"] = command_lines(_serving(tmp_path))
        with _locked_out(settings):
            kit.eventually(lambda: client.get("/readyz").status_code == 503, 30, tmp_path / "log")
            assert 503 in recording.ask(client, "a day without its password")
        kit.eventually(lambda: client.get("/readyz").status_code == 200, 30, tmp_path / "log")
    kept = [path.read_bytes().decode("latin-1") for path in segment_paths(tmp_path / "ledger")]
    recording.places |= {"the log": (tmp_path / "log").read_text(), "answers": "".join(kept)}
    assert "entity-not-found" in recording.places["answers"]
    assert "crm" in recording.places["the log"]
    recording.assert_nothing_leaked()


def test_no_secret_is_shown_by_a_service_without_store_and_registry(
    user: tuple[Settings, str], small_model: SmallModel, tmp_path: Path
) -> None:
    recording, variables = _recording(user, tmp_path)
    dead, password = kit.free_port(), user[1]
    registry_password = recording.secrets["the registry's password"]
    variables["ASOF_REGISTRY_URL"] = f"http://mlflow:{registry_password}@127.0.0.1:{dead}"
    url = user[0].database().set(port=dead).render_as_string(hide_password=False)
    away = user[0].model_copy(update={"postgres_url": SecretStr(url)})
    assert password in url
    log = tmp_path / "log"
    with kit.serving(away, small_model.bundle.bento_tag, tmp_path, ready=False, **variables) as client:
        assert 503 in recording.ask(client, "a day without a store")
    recording.places["the log"] = log.read_text()
    assert "The feature registry cannot be read" in recording.places["the log"]
    assert f"127.0.0.1:{dead} does not answer" in recording.places["the log"]
    recording.assert_nothing_leaked()


@pytest.mark.parametrize("wrong", ["ASOF_POSTGRES_URL", "ASOF_REGISTRY_URL", "ASOF_API_KEYS", "ASOF_SIGNING_KEY_TEXT"])
def test_a_setting_that_cannot_be_read_is_not_quoted(
    user: tuple[Settings, str], small_model: SmallModel, tmp_path: Path, wrong: str
) -> None:
    """Each secret where the library that reads it quotes what it could not read."""
    recording, variables = _recording(user, tmp_path)
    secrets = recording.secrets
    (tmp_path / "wrong-keys").write_text("crm predict " + secrets["caller's key"] + "\n")
    bad = {
        "ASOF_POSTGRES_URL": f"postgresql://asof:x@127.0.0.1:{user[1]}@127.0.0.1:5432/asof",
        "ASOF_REGISTRY_URL": "http://mlflow:" + secrets["the registry's password"] + "/x@127.0.0.1:5000",
        "ASOF_API_KEYS": str(tmp_path / "wrong-keys"),
        "ASOF_SIGNING_KEY_TEXT": "!" + secrets["the signing key"],
    }
    environment = {**os.environ, **user[0].environment(), **variables, wrong: bad[wrong]}
    if wrong == "ASOF_POSTGRES_URL":
        recording.places |= _processes(small_model.bundle.bento_tag, tmp_path, environment)
    recording.places["the service"] = _deployed(environment)
    for words in (("history", "churn"), ("keys",), ("api-keys", "list")):
        recording.places[" ".join(words)] = _called(environment, *words)
    assert any(wrong in text for text in recording.places.values()), recording.places
    recording.assert_nothing_leaked()


def test_a_bento_contains_no_secret_of_its_builder(small_model: SmallModel, settings: Settings) -> None:
    name, _, version = small_model.bundle.bento_tag.partition(":")
    home = Path(os.environ["BENTOML_HOME"])
    pem = (settings.home / "keys" / "signing.pem").read_text()
    secrets = {"PostgreSQL's password": settings.database().password or "", "the key": pem.splitlines()[1]}
    found = files(home / "bentos" / name / version, home / "models")
    assert len(found) > 10
    assert leaks(secrets, found) == []


def _called(environment: Mapping[str, str], *words: str) -> str:
    try:
        done = call_flows(environment, *words)
    except Exception:
        return traceback.format_exc()
    return done.stdout + done.stderr


def _serving(folder: Path) -> list[int]:
    """The service's first process, which runs in the empty folder."""
    with_folder = [each for each in psutil.process_iter(["pid", "cwd"]) if each.info["cwd"] == str(folder / "empty")]
    assert with_folder
    return [each.pid for each in with_folder]


@contextlib.contextmanager
def _locked_out(settings: Settings) -> Iterator[None]:
    """Changes the role's password for a block, and ends its connections."""
    url = settings.database()
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {url.username} PASSWORD 'another'")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND pid <> pg_backend_pid()",
            (url.username,),
        )
        try:
            yield
        finally:
            connection.execute(f"ALTER ROLE {url.username} PASSWORD '{url.password}'")


def _deployed(environment: Mapping[str, str]) -> str:
    try:
        return kit.start_error("churn", environment)
    except Exception:
        return traceback.format_exc()


def _processes(tag: str, folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """The output of a service that ends at its start, and of a command, each in a process of its own."""
    words = ["-m", "bentoml", "serve", tag, "--host", "127.0.0.1", "--port", str(kit.free_port())]
    serve = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)
    history = start_flows(environment, "history", "churn")
    assert 0 not in (serve.returncode, history.returncode)
    return {"a process of the service": serve.stdout + serve.stderr, "a command": history.stdout + history.stderr}
