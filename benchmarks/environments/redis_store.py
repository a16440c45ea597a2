"""Debian's redis-server (`apt-get install redis-server`) with Feast's store.

`python -m benchmarks.environments.making redis benchmarks.environments.redis_store ADDRESS` fills it with all features
of the database in ASOF_POSTGRES_URL, by Feast's own engine, and saves it to the dump.rdb in its folder.
"""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from asof.errors import ConfigurationError
from asof.features.feature_store import REPOSITORY, configuration, quiet
from asof.settings import Settings, export
from benchmarks.environments.making import MODULE, python_of
from benchmarks.processes import run_json
from local.ports import any_free_port

if TYPE_CHECKING:
    from feast import FeatureStore

ADDRESS = "BENCHMARK_REDIS"
"""The variable with host:port, by which peers find the server."""
HOST, DUMP, START_SECONDS = "127.0.0.1", "dump.rdb", 30
BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Redis:
    address: str
    pid: int


@contextmanager
def redis_server(settings: Settings, folder: Path) -> Iterator[Redis]:
    """A server of the folder's dump, which is written if there is none yet.

    Raises ConfigurationError where the server or the client library is missing.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise ConfigurationError("There is no redis-server: apt-get install redis-server.")
    python_of("redis")
    folder.mkdir(parents=True, exist_ok=True)
    port = any_free_port(HOST)
    options = ("--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no")
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        _wait(port, process)
        redis = Redis(f"{HOST}:{port}", process.pid)
        if not (folder / DUMP).is_file():
            run_json(settings.environment(), MODULE, "redis", __name__, redis.address)
        yield redis
    finally:
        process.terminate()
        process.wait()


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    until = monotonic() + START_SECONDS
    while monotonic() < until and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex((HOST, port)) == 0:
                client.sendall(b"PING\r\n")
                if client.recv(5) == b"+PONG":  # not while it loads its dump
                    return
        sleep(0.02)
    raise ConfigurationError("redis-server does not start.")


def open_redis(settings: Settings, address: str) -> "FeatureStore":
    """Feast with its Redis store, its own engine, and everything else from feature_store.yaml."""
    from feast import FeatureStore, RepoConfig

    raw: dict[str, Any] = configuration(settings)
    raw["online_store"] = {"type": "redis", "connection_string": address}
    raw["batch_engine"] = {"type": "local"}
    return FeatureStore(config=RepoConfig(**raw, repo_path=REPOSITORY))


def main(address: str) -> None:
    settings = Settings()
    export(settings)
    store = open_redis(settings, address)
    with quiet():
        store.materialize(BEGINNING, datetime.now(UTC))
    client: Any = store.provider.online_store
    client._get_client(store.config.online_store).save()
    print("{}")


if __name__ == "__main__":
    main(*sys.argv[1:])
