"""A wrong MLFLOW_TRACKING_URI is reported at once, with the name of the setting and without the password."""

import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest

from asof.errors import ConfigurationError
from asof.settings import Settings
from local.stack import background
from local.stack.background import Service
from tests.kits.machine.free_port import free_port
from tests.kits.machine.terminal import Done, call_flows, start_flows
from tests.kits.models.training import made_up_set, small_use_case
from training.models.fitting.train import train
from training.tracking.address import check_tracking_address
from training.tracking.client import open_tracking


@contextmanager
def unusable(*words: str) -> Iterator[None]:
    """The block raises one sentence within ten seconds; it names the setting and holds the words, but no password."""
    started = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        yield
    assert time.monotonic() - started < 10
    sentence = str(caught.value)
    assert [word for word in ("MLFLOW_TRACKING_URI", *words) if word not in sentence] == []
    assert "secret" not in sentence
    assert "\n" not in sentence
    assert caught.value.__suppress_context__


def tracked_at(settings: Settings, uri: str) -> Settings:
    return settings.model_copy(update={"mlflow_tracking_uri": uri})


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def answering(status: int, kind: str, body: bytes, *, pause: float = 0.0) -> Iterator[str]:
    """The address of a server with one answer to everything; with a pause between any two of its bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(pause)

        do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    "address",
    [
        "http://ann:secret@127.0.0.1:{}",
        "postgresql+psycopg2://ann:secret@127.0.0.1:{}/m",
        "postgresql://127.0.0.1:{}/m",
    ],
)
@pytest.mark.parametrize("kind", ["silent", "closed"])
def test_an_mlflow_that_is_away_is_reported_within_five_seconds(
    address: str, kind: str, silent_port: int, closed_port: int
) -> None:
    port = silent_port if kind == "silent" else closed_port
    with unusable(f"127.0.0.1:{port}"):
        train(tracked_at(Settings(), address.format(port)), small_use_case("away"), made_up_set(200))


@pytest.mark.parametrize(
    ("address", "shown", "why"),
    [
        ("http://ann:secret@nowhere.invalid:5050", "http://***@nowhere.invalid:5050", "Name or service not known"),
        ("postgresql://ann:secret@nowhere.invalid/m", "postgresql://***@nowhere.invalid/m", "nowhere.invalid"),
        ("http://ann:secret@127.0.0.1:port", "http://***@127.0.0.1:port", "cannot be read"),
        ("http://ann:sec/ret@[::1", "http://***@[::1", "cannot be read"),
        ("http:/127.0.0.1:5050", "http:/127.0.0.1:5050", "cannot be read"),
        ("postgresql://ann:#secret@127.0.0.1:port/m", "postgresql://***@127.0.0.1:port/m", "cannot be read"),
        ("postgresql://127.0.0.1:1/m?password=secret&user=ann", "password=***&user=ann", "refused"),
        ("postgresql+no_driver://127.0.0.1/m", "postgresql+no_driver://127.0.0.1/m", "no_driver"),
        ("htp://ann:secret@127.0.0.1:5050", "htp://***@127.0.0.1:5050", "must begin with http://"),
        ("mysql://ann:secret@127.0.0.1/m", "mysql://***@127.0.0.1/m", "must begin with http://"),
        ("127.0.0.1:5050", "127.0.0.1:5050", "must begin with http://"),
        ("./mlruns", "./mlruns", "sqlite:////FOLDER/mlflow.db"),
        ("file:mlruns", "file:mlruns", "sqlite:////FOLDER/mlflow.db"),
        ("file:///srv/mlruns", "file:///srv/mlruns", "sqlite:////FOLDER/mlflow.db"),
        ("as you like it", "as you like it", "takes it for a folder"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db", "sqlite:////FOLDER/mlflow.db"),
        ("sqlite://", "sqlite://", "sqlite:////FOLDER/mlflow.db"),
        ("sqlite:////no/such/mlflow.db", "sqlite:////no/such/mlflow.db", "no folder /no/such"),
        (f"sqlite:///{__file__}", __file__, "not a database"),
    ],
)
def test_an_address_that_cannot_be_mlflows_is_reported_with_the_reason(
    address: str, shown: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with unusable(shown, why):
        open_tracking(tracked_at(Settings(), address))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("status", "kind"), [(404, "text/plain"), (200, "text/html"), (302, "text/html")])
def test_a_server_that_is_not_mlflow_is_reported(status: int, kind: str) -> None:
    with answering(status, kind, b"OK") as address, unusable(address, "as MLflow does", str(status)):
        open_tracking(tracked_at(Settings(), address))


def test_a_refused_password_is_reported(settings: Settings) -> None:
    with answering(401, "text/plain", b"") as address, unusable("http://***@127.0.0.1", "password", "401"):
        open_tracking(tracked_at(settings, address.replace("//", "//ann:secret@")))


def test_a_password_that_mlflow_knows_from_elsewhere_is_reported_when_it_is_refused(settings: Settings) -> None:
    with answering(401, "text/plain", b"") as address:
        with pytest.raises(ConfigurationError):
            open_tracking(tracked_at(settings, address))  # its first request imports all of Feast, a plug-in of MLflow
        with unusable(address, "401"):
            open_tracking(tracked_at(settings, address))


def test_an_answer_that_drips_does_not_hold_us_up() -> None:
    body = b" " * 100
    with answering(200, "application/json", body, pause=0.2) as address, unusable(address, "within 3 seconds"):
        check_tracking_address(address)


def test_a_look_up_of_names_that_hangs_does_not_hold_us_up(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    fault: Callable[..., Any] = lambda *given, **more: time.sleep(6) or real(*given, **more)  # noqa: E731
    monkeypatch.setattr(socket, "getaddrinfo", fault)
    with unusable("http://nowhere.invalid", "within 3 seconds"):
        check_tracking_address("http://nowhere.invalid")


@pytest.fixture(scope="module")
def mlflow_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real MLflow server that answers to the name 127.0.0.1, and to no other."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port(15050, "MLflow")
    environment = {
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    words = ("server", "--workers", "1", "--allowed-hosts", f"127.0.0.1:{port}")
    service = Service("mlflow", "MLflow", "mlflow", words, port, "/health", environment)
    running = background.launch(service, folder, ("127.0.0.1", port))
    background.wait_until_healthy(service, running, folder)
    yield port
    background.end(service.name, folder)


def test_a_server_that_refuses_our_name_for_it_is_reported_though_its_health_answers(mlflow_port: int) -> None:
    assert background.get_health("localhost", mlflow_port, "/health").status == 200
    with unusable(f"http://localhost:{mlflow_port}", "403", "--allowed-hosts"):
        open_tracking(tracked_at(Settings(), f"http://localhost:{mlflow_port}"))


def test_addresses_that_are_right_are_taken_for_runs_and_versions(
    settings: Settings, mlflow_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_tracking(settings)
    import mlflow

    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite:////srv/foreign.db")

    for uri in (f"http://127.0.0.1:{mlflow_port}/", f"sqlite:///{tmp_path}/new.db", settings.tracking_uri):
        client = open_tracking(tracked_at(settings, uri))
        assert [each.name for each in client.search_experiments()] == ["Default"]
        assert (client.tracking_uri, mlflow.get_registry_uri()) == (uri, uri)


def test_a_database_that_does_not_exist_is_reported(settings: Settings) -> None:
    with unusable("no_such_database", "does not exist"):
        open_tracking(tracked_at(settings, settings.sqlalchemy_url("psycopg2", "no_such_database")))


def test_a_wrong_password_of_the_database_is_reported(settings: Settings) -> None:
    url = settings.database().set(drivername="postgresql+psycopg2", password="secret")
    with unusable(f"{url.host}:{url.port}", "password authentication failed"):
        open_tracking(tracked_at(settings, url.render_as_string(hide_password=False)))


def test_the_database_of_another_program_is_reported_and_left_alone(settings: Settings) -> None:
    with closing(psycopg.connect(settings.conninfo(), autocommit=True)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num text)")
        with unusable(str(settings.database().database), "belongs to another program"):
            open_tracking(tracked_at(settings, settings.sqlalchemy_url("psycopg2")))
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert tables == [("alembic_version",)]


def test_tables_of_another_mlflow_are_reported_in_its_own_words(settings: Settings, tmp_path: Path) -> None:
    open_tracking(tracked_at(settings, f"sqlite:///{tmp_path}/new.db"))
    old = shutil.copy(tmp_path / "new.db", tmp_path / "old.db")
    with closing(sqlite3.connect(old)) as database:
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
        database.commit()
    with unusable(str(old), "out-of-date database schema"):
        open_tracking(tracked_at(settings, f"sqlite:///{old}"))


@pytest.mark.parametrize(
    ("words", "run"),
    [
        ("retrain churn", start_flows),
        ("promote churn 1", call_flows),
        ("rollback churn", call_flows),
        ("bundle churn", call_flows),
        ("serve churn", call_flows),
        ("demo", call_flows),
    ],
)
def test_a_command_reports_it_in_one_sentence_before_anything_starts(
    words: str, run: Callable[..., Done], settings: Settings, closed_port: int
) -> None:
    address = f"http://ann:secret@127.0.0.1:{closed_port}"
    environment = {**os.environ, **tracked_at(settings, address).environment(), "COLUMNS": "1000"}
    environment.pop("PREFECT_API_URL", None)
    started = time.monotonic()
    done = run(environment, *words.split())
    assert time.monotonic() - started < 100  # MLflow by itself goes on trying for minutes
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("error: ConfigurationError: MLflow cannot be used at http://***@127.0.0.1")
    assert "MLFLOW_TRACKING_URI" in sentence
    assert done.stdout == ""
