"""A real replica that lags behind its primary: refused for later moments, and read as of what it has replayed."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from asof.errors import SourceError
from asof.settings import Settings
from local.embedded_postgres.binaries import find_binaries
from local.embedded_postgres.system_account import account_for
from tests.kits.data.extracts import fetch
from tests.kits.data.sources import CREATE, SHOP, SHOPPERS, queried, run
from tests.kits.machine.free_port import free_port
from training.data.snapshots.snapshot import take_snapshot

pytestmark = pytest.mark.soak
BACK = "postgresql://asof@127.0.0.1:{port}/postgres"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URLs of a primary and of its replica."""
    binaries = find_binaries()
    account = account_for(tmp_path)
    base = Path("/var/tmp" if account.uid else tmp_path) / f"asof-replica-{tmp_path.name}"
    account.make_folder(base)
    ports = free_port(25432, "primary"), free_port(26432, "replica")
    folders = base / "primary", base / "replica"

    def call(program: str, *words: str | Path) -> None:
        done = account.run(binaries.folder / program, *words)
        assert done.returncode == 0, done.stderr

    def start(folder: Path, port: int) -> None:
        options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        call("pg_ctl", "start", "-w", "-D", folder, "-l", base / f"{folder.name}.log", "-o", options)

    try:
        call("initdb", "-D", folders[0], "--username", "asof", "--auth", "trust", "--no-sync")
        start(folders[0], ports[0])
        backup = ("-d", BACK.format(port=ports[0]), "-D", folders[1], "-R", "-X", "stream", "--checkpoint", "fast")
        call("pg_basebackup", *backup)
        start(folders[1], ports[1])
        yield BACK.format(port=ports[0]), BACK.format(port=ports[1])
    finally:
        for folder in reversed(folders):
            account.run(binaries.folder / "pg_ctl", "stop", "-D", folder, "-m", "immediate")
        shutil.rmtree(base, ignore_errors=True)


def test_a_replica_describes_only_what_it_has_replayed(settings: Settings, servers: tuple[str, str]) -> None:
    primary, replica = (settings.model_copy(update={"source_url": SecretStr(url)}) for url in servers)
    live = replace(SHOP, tables=(queried(SHOPPERS, "SELECT shopper, joined FROM people"),))
    with pytest.raises(SourceError, match="has replayed nothing since it started"):
        take_snapshot(replica, live, None, as_of=None)
    run(primary, CREATE)
    run(primary, "INSERT INTO people VALUES ('ann', '2023-01-01', '2023-01-01')")
    _wait_for(replica)
    run(replica, "SELECT pg_wal_replay_pause()")
    time.sleep(1)
    run(primary, "INSERT INTO people VALUES ('bob', '2023-01-01', '2023-01-01')")
    now = datetime.now(UTC)

    snapshot = take_snapshot(replica, live, None, as_of=None)
    assert snapshot.rows == {"shoppers": 1}
    assert now - timedelta(minutes=1) < snapshot.as_of < now - timedelta(seconds=1)
    with pytest.raises(
        SourceError, match=r"is a replica that has replayed up to .*wait until it has, or read the primary"
    ):
        take_snapshot(replica, SHOP, None, as_of=now)
    assert take_snapshot(primary, live, None, as_of=None).rows == {"shoppers": 2}
    assert fetch(settings, "SELECT count(DISTINCT as_of) FROM shoppers") == [(2,)]


def _wait_for(replica: Settings) -> None:
    deadline = time.monotonic() + 30
    with psycopg.connect(replica.source_conninfo("source"), autocommit=True) as connection:
        while connection.execute("SELECT to_regclass('people')").fetchone() == (None,) or (
            connection.execute("SELECT count(*) FROM people").fetchone() == (0,)
        ):
            assert time.monotonic() < deadline, "the replica never replayed the rows"
            time.sleep(0.1)
