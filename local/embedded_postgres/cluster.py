"""An embedded PostgreSQL server: its data folder, its user, start and stop.

The server runs in its own session, so it outlives the process that started it. Its `cluster_name` is in the command
line of each of its processes and identifies them: after a crash the pid in postmaster.pid may be reused.
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
SHARED_FOLDER = Path("/var/lib/asof")
"""For data and programs of root that the server's user cannot reach in the home folder."""

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
    """The server of a home: `folder` holds data and log, `account` runs it."""

    home: Path
    folder: Path
    account: Account

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def name(self) -> str:
        return f"asof-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]}"

    @property
    def password_file(self) -> Path:
        return self.home / PASSWORD_FILE

    @property
    def major(self) -> int | None:
        """The major version of the data; None if there is no data."""
        version = self.data / "PG_VERSION"
        return int(version.read_text()) if version.is_file() else None

    @property
    def pid(self) -> int | None:
        """The server's pid; None if it is not running."""
        pid = self._pid_file_line(0)
        return pid if pid and self._is_ours(pid) else None

    @property
    def port(self) -> int | None:
        """The port of the running server, or of the last one if it crashed."""
        return self._pid_file_line(3)

    @property
    def programs(self) -> Path | None:
        """The folder of the programs that last used the data."""
        options = self.data / "postmaster.opts"
        return Path(shlex.split(options.read_text())[0]).parent if options.is_file() else None

    def password(self) -> str:
        """The password; created on first use in a file that only its owner can read."""
        file = self.password_file
        if file.is_file():
            return file.read_text()
        if self.major is not None:
            raise ConfigurationError(f"{file} is missing, and {self.data} needs it: restore the file.")
        write_whole(file, secrets.token_hex(24))
        return file.read_text()

    def create(self, binaries: Binaries) -> None:
        """Creates the data folder unless it exists; the result of an interrupted attempt is deleted."""
        if self.major is not None:
            return
        make_open_folder(self.folder.parent)
        self.account.make_folder(self.folder)
        draft, password = self.folder / "data.new", self.folder / "password.new"
        shutil.rmtree(draft, ignore_errors=True)
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(self.password())
        self.account.own(password)
        # Without fsync: a power cut now loses only an empty database, and fsync takes seconds on a busy disk.
        access = ("--username", USER, "--pwfile", password, "--auth", "scram-sha-256")
        words = ("--pgdata", draft, *access, "--encoding", "UTF8", "--no-locale", "--no-sync")
        outcome = self.account.run(binaries.folder / "initdb", *words)
        password.unlink()
        if outcome.returncode:
            raise ConfigurationError(f"PostgreSQL's initdb failed in {self.folder}:\n{outcome.stderr.strip()}")
        draft.rename(self.data)

    def launch(self, binaries: Binaries, port: int) -> bool:
        """Starts the server and waits until it accepts connections; returns False if it does not start."""
        self._clear_after_a_crash()
        settings = SERVER | {"port": str(port), "cluster_name": self.name}
        options = shlex.join(f"--{name}={value}" for name, value in settings.items())
        words = ("--wait", "--timeout", str(START_SECONDS), "--log", self.log, "--options", options)
        return self.account.run(binaries.folder / "pg_ctl", "start", "-D", self.data, *words).returncode == 0

    def stop(self, mode: str = "fast") -> None:
        """Stops the server and rolls back open transactions; mode `immediate` stops it as a crash would.

        Raises ConfigurationError if it does not stop.
        """
        if self.pid is None or self.programs is None:
            return
        outcome = self.account.run(self.programs / "pg_ctl", "stop", "-D", self.data, "--wait", "--mode", mode)
        if outcome.returncode:
            raise ConfigurationError(f"The embedded PostgreSQL did not stop:\n{outcome.stderr.strip()}")

    def log_tail(self, lines: int = 15) -> str:
        """The end of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.is_file() else ""

    def _is_ours(self, pid: int) -> bool:
        try:
            words = psutil.Process(pid).cmdline()
        except psutil.Error:
            return False
        return bool(words) and Path(words[0].split(":")[0]).name == "postgres" and self.name in " ".join(words)

    def _pid_file_line(self, line: int) -> int | None:
        file = self.data / "postmaster.pid"
        lines = file.read_text().splitlines() if file.is_file() else []
        return int(lines[line]) if len(lines) > line and lines[line].strip().isdigit() else None

    def _clear_after_a_crash(self) -> None:
        """Ends the children of a killed server, then removes its pid file.

        Idle children exit by themselves; one that runs a query gets SIGQUIT, as the server would have sent it.
        """
        deadline = time.monotonic() + START_SECONDS
        while left := [pid for pid in psutil.pids() if self._is_ours(pid)]:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGQUIT)
            if time.monotonic() > deadline:
                raise ConfigurationError(f"Processes {left} of a crashed PostgreSQL still use {self.data}: kill them.")
            time.sleep(0.05)
        (self.data / "postmaster.pid").unlink(missing_ok=True)
