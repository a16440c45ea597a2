"""A streaming replica of the session's embedded PostgreSQL, which tests pause, kill and start again."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import pytest
from pydantic import SecretStr

from asof.settings import Settings
from local.embedded_postgres import postgres
from local.embedded_postgres.binaries import Binaries, find_binaries
from local.embedded_postgres.cluster import Cluster
from local.embedded_postgres.system_account import account_for
from tests.kits.machine.free_port import free_port

PATIENCE = 60
"""Seconds that an event may take on a busy machine."""


@dataclass(frozen=True)
class Replica:
    """Its cluster, and where it listens."""

    cluster: Cluster
    binaries: Binaries
    port: int

    def url(self, settings: Settings) -> SecretStr:
        """Of the database of the settings at the replica."""
        return SecretStr(settings.database().set(port=self.port).render_as_string(hide_password=False))

    def read_by(self, settings: Settings, **more: object) -> Settings:
        """The settings with this replica, once it has their database as it is now."""
        with_replica = settings.model_copy(update={"postgres_read_urls": self.url(settings), **more})
        self.catch_up(settings)
        return with_replica

    def catch_up(self, primary: Settings) -> None:
        """Waits until the replica has what the primary has written."""
        with psycopg.connect(primary.conninfo(), autocommit=True) as connection:
            (written,) = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone() or (0,)
            connection.execute("SELECT pg_logical_emit_message(true, 'asof', 'the record after it')")
        self.wait_for(primary, "SELECT pg_last_wal_replay_lsn() - '0/0' >= %s", written)

    def wait_for(self, primary: Settings, query: str, *parameters: object) -> None:
        """Waits until the query is true there."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(psycopg.OperationalError), psycopg.connect(self._conninfo(primary)) as connection:
                if connection.execute(query.encode(), parameters).fetchone() == (True,):
                    return
            assert time.monotonic() < deadline, f"the replica never came to {query}"
            time.sleep(0.05)

    @contextmanager
    def paused(self, primary: Settings) -> Iterator[None]:
        """It replays nothing within the block."""
        self._run(primary, "SELECT pg_wal_replay_pause()")
        self.wait_for(primary, "SELECT pg_get_wal_replay_pause_state() = 'paused'")
        try:
            yield
        finally:
            self._run(primary, "SELECT pg_wal_replay_resume()")

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Its processes stand still, and connections stay open."""
        stopped = self._processes()
        for process in stopped:
            process.suspend()
        try:
            yield
        finally:
            for process in stopped:
                process.resume()

    def kill(self) -> None:
        """All of its processes, at once."""
        for process in self._processes():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    def start(self) -> None:
        assert self.cluster.launch(self.binaries, self.port), self.cluster.log_tail()

    def _processes(self) -> list[psutil.Process]:
        server = psutil.Process(self.cluster.pid)
        return [server, *server.children(recursive=True)]

    def _run(self, primary: Settings, statement: str) -> None:
        with psycopg.connect(self._conninfo(primary), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _conninfo(self, primary: Settings) -> str:
        return primary.model_copy(update={"postgres_url": self.url(primary)}).conninfo()


@pytest.fixture(scope="session")
def standby(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """Made once; `replica` gives it to a test."""
    if not postgres.is_embedded(server):
        pytest.skip("ASOF_POSTGRES_URL names a server that we cannot copy: unset it to test read replicas")
    home = tmp_path_factory.mktemp("replica")
    account = account_for(home)
    folder = (Path("/var/tmp") if account.uid else home) / f"asof-{home.name}-{os.getpid()}"
    cluster = Cluster(home, folder, account)
    version = postgres.status(server).data / "PG_VERSION"
    binaries = find_binaries(int(version.read_text()))
    replica = Replica(cluster, binaries, free_port(27432, "the replica"))
    slot = f"asof_{os.getpid()}"
    account.make_folder(folder)
    try:
        url = server.database().render_as_string(hide_password=False)
        # With a slot the primary keeps its log for a replica that was killed, however much others write meanwhile.
        words = (
            "-d",
            url,
            "-D",
            cluster.data,
            "-R",
            "-C",
            "-S",
            slot,
            "-X",
            "stream",
            "--checkpoint",
            "fast",
            "--no-sync",
        )
        done = account.run(binaries.folder / "pg_basebackup", *words)
        assert done.returncode == 0, done.stderr
        replica.start()
        yield replica
    finally:
        cluster.stop("immediate")
        _drop_slot(server, slot)
        shutil.rmtree(folder, ignore_errors=True)


def _drop_slot(primary: Settings, slot: str) -> None:
    """Ends what still sends to the replica, so that the log is not kept for ever."""
    with psycopg.connect(primary.conninfo(), autocommit=True) as connection:
        slots = "FROM pg_replication_slots WHERE slot_name = %s"
        connection.execute(f"SELECT pg_terminate_backend(active_pid, 10000) {slots} AND active".encode(), (slot,))
        connection.execute(f"SELECT pg_drop_replication_slot(slot_name) {slots}".encode(), (slot,))


@pytest.fixture
def replica(standby: Replica) -> Iterator[Replica]:
    """A replica that runs; whatever a test does to it, the next one gets it running."""
    yield standby
    if standby.cluster.pid is None:
        standby.start()
