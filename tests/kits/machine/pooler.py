"""Debian's PgBouncer in transaction mode, configured as docs/scale/replicas.md says."""

import configparser
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from asof.settings import PROJECT, Settings
from local.embedded_postgres.system_account import account_for
from tests.kits.machine.free_port import free_port

PROGRAM = "/usr/sbin/pgbouncer"
DOCUMENTED = (PROJECT / "docs" / "scale" / "replicas.md").read_text().partition("```ini\n")[2].partition("```")[0]


@contextmanager
def pooled(settings: Settings, folder: Path, **options: str) -> Iterator[Settings]:
    """The settings with the address of a pooler of two connections; `options` change those of the document."""
    if not Path(PROGRAM).is_file():
        pytest.skip("no PgBouncer: `apt-get install pgbouncer`, and lookups are made through a real one")
    account, port = account_for(folder), free_port(29432, "PgBouncer")
    home = Path("/var/tmp" if account.uid else folder) / f"asof-pgbouncer-{os.getpid()}-{port}"
    account.make_folder(home)
    url = settings.database()
    own = {"listen_addr": "127.0.0.1", "listen_port": str(port), "unix_socket_dir": "", "default_pool_size": "2"}
    own |= {"auth_file": f"{home}/users.txt", "pidfile": f"{home}/pid", "logfile": f"{home}/log"}
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(DOCUMENTED)
    parser["databases"] = {"*": f"host={url.host} port={url.port}"}
    parser["pgbouncer"].update(own | options)
    with (home / "pgbouncer.ini").open("w") as file:
        parser.write(file)
    (home / "users.txt").write_text(f'"{url.username}" "{url.password}"\n')
    for path in home.iterdir():
        account.own(path)
    try:
        started = account.run(PROGRAM, "-d", home / "pgbouncer.ini")
        assert started.returncode == 0, started.stderr
        _wait_for(port)
        address = url.set(port=port).render_as_string(hide_password=False)
        yield settings.model_copy(update={"postgres_url": SecretStr(address)})
    finally:
        with suppress(OSError):
            os.kill(int((home / "pid").read_text()), signal.SIGKILL)
        shutil.rmtree(home, ignore_errors=True)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < deadline, "PgBouncer does not listen"
        time.sleep(0.05)
