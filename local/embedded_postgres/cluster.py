"""One embedded PostgreSQL server: where its data lies, as whom it runs, its start and its end.

In comes the home folder; out comes a Cluster with `launch`, `halt` and `pid`. The server has a session of its own,
so it outlives whoever started it. Its `cluster_name` is in the command line of every process of it: by that we know
our own processes, because after a crash the number in postmaster.pid may have become somebody else's.
"""

import hashlib
import os
import secrets
import shlex
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from asof.errors import ConfigurationError
from asof.files import write_whole
from local.embedded_postgres.binaries import Binaries
from local.embedded_postgres.system_account import Account, make_open_folder

HOST = "127.0.0.1"
USER = "asof"
PASSWORD_FILE = "postgres.password"  # noqa: S105 - the name of a file
START_SECONDS = 60
SHELF = Path("/var/lib/asof")
"""Where root puts what the server's user cannot reach at home. Only root comes here, so it can be written."""

SERVER: dict[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",
}


@dataclass(frozen=True)
class Cluster:
    """The server of one home: `place` holds its data and log, `account` runs it."""

    home: Path
    place: Path
    account: Account

    @property
    def data(self) -> Path:
        return self.place / "data"

    @property
    def log(self) -> Path:
        return self.place / "server.log"

    @property
    def name(self) -> str:
        return f"asof-{hashlib.sha256(str(self.place).encode()).hexdigest()[:12]}"

    @property
    def password_file(self) -> Path:
        return self.home / PASSWORD_FILE

    @property
    def major(self) -> int | None:
        """The major version that wrote the data; None where there is none yet."""
        version = self.data / "PG_VERSION"
        return int(version.read_text()) if version.is_file() else None

    @property
    def pid(self) -> int | None:
        """The server's process, None where it does not run."""
        noted = self._noted(0)
        return noted if noted and self._is_ours(noted) else None

    @property
    def port(self) -> int | None:
        """The port that the running server, or the one that crashed, listens on."""
        return self._noted(3)

    @property
    def programs(self) -> Path | None:
        """The folder of the programs that last ran this data."""
        options = self.data / "postmaster.opts"
        return Path(shlex.split(options.read_text())[0]).parent if options.is_file() else None

    def password(self) -> str:
        """The password, made on first use, in a file that only its owner reads."""
        file = self.password_file
        if file.is_file():
            return file.read_text()
        if self.major is not None:
            raise ConfigurationError(f"{file} is missing, and {self.data} cannot be opened without it: restore it.")
        write_whole(file, secrets.token_hex(24))
        return file.read_text()

    def create(self, binaries: Binaries) -> None:
        """Makes the data folder if there is none; an interrupted attempt is thrown away, not taken for a whole one."""
        if self.major is not None:
            return
        make_open_folder(self.place.parent)
        self.account.make_folder(self.place)
        draft, password = self.place / "data.new", self.place / "password.new"
        shutil.rmtree(draft, ignore_errors=True)
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(self.password())
        self.account.own(password)
        # No fsync: a power cut in these seconds costs an empty database, and a busy disk five seconds.
        access = ("--username", USER, "--pwfile", password, "--auth", "scram-sha-256")
        words = ("--pgdata", draft, *access, "--encoding", "UTF8", "--no-locale", "--no-sync")
        outcome = self.account.run(binaries.folder / "initdb", *words)
        password.unlink()
        if outcome.returncode:
            raise ConfigurationError(f"PostgreSQL's initdb failed in {self.place}:\n{outcome.stderr.strip()}")
        draft.rename(self.data)

    def launch(self, binaries: Binaries, port: int) -> bool:
        """Starts the server and waits until it takes connections; False where it did not come up."""
        self._clear_after_a_crash()
        settings = SERVER | {"port": str(port), "cluster_name": self.name}
        options = shlex.join(f"--{name}={value}" for name, value in settings.items())
        words = ("--wait", "--timeout", str(START_SECONDS), "--log", self.log, "--options", options)
        return self.account.run(binaries.folder / "pg_ctl", "start", "-D", self.data, *words).returncode == 0

    def halt(self, mode: str = "fast") -> None:
        """Stops the server and rolls back what is open; mode `immediate` leaves the data as a crash would.

        Raises ConfigurationError where it does not stop.
        """
        if self.pid is None or self.programs is None:
            return
        outcome = self.account.run(self.programs / "pg_ctl", "stop", "-D", self.data, "--wait", "--mode", mode)
        if outcome.returncode:
            raise ConfigurationError(f"The embedded PostgreSQL did not stop:\n{outcome.stderr.strip()}")

    def last_words(self, lines: int = 15) -> str:
        """The end of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.is_file() else ""

    def _is_ours(self, pid: int) -> bool:
        try:
            words = psutil.Process(pid).cmdline()
        except psutil.Error:
            return False
        return bool(words) and Path(words[0].split(":")[0]).name == "postgres" and self.name in " ".join(words)

    def _noted(self, line: int) -> int | None:
        file = self.data / "postmaster.pid"
        lines = file.read_text().splitlines() if file.is_file() else []
        return int(lines[line]) if len(lines) > line and lines[line].strip().isdigit() else None

    def _clear_after_a_crash(self) -> None:
        """Only when no child of a killed server is left is its pid file safe to remove.

        Idle children go by themselves, one in the middle of a query would not: it gets the signal that the server
        would have sent, and recovery follows anyway.
        """
        deadline = time.monotonic() + START_SECONDS
        while left := [pid for pid in psutil.pids() if self._is_ours(pid)]:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGQUIT)
            if time.monotonic() > deadline:
                raise ConfigurationError(f"Processes {left} of a crashed PostgreSQL still use {self.data}: end them.")
            time.sleep(0.05)
        (self.data / "postmaster.pid").unlink(missing_ok=True)
