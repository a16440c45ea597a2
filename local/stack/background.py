"""Server processes in the background: start, find, wait until healthy, end.

The record `NAME.json` of a process holds its pid and a random mark, which is also in the environment of the process
and of its children. A pid may be reused by another process, the mark is not.
"""

import hashlib
import http.client
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psutil

from asof.errors import ConfigurationError
from asof.files import write_whole
from asof.settings import SERVER_MARK as MARK
from asof.settings import environment_of_servers

ADDRESS = "{address}"
START_SECONDS = 120
STOP_SECONDS = 15


@dataclass(frozen=True)
class Service:
    """A server to run: a Python module with arguments (host and port are added) and the path of its health check.

    ADDRESS in a value of `environment` is replaced by the server's address.
    """

    name: str
    title: str
    module: str
    arguments: tuple[str, ...]
    port: int
    health: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def purpose(self) -> str:
        """A digest of module, arguments and environment: a running server with another one must be restarted."""
        text = json.dumps([self.module, self.arguments, dict(self.environment)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Running:
    """A running server; clients connect to `host` and `port`."""

    pid: int
    host: str
    port: int
    mark: str
    purpose: str

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"


def launch(service: Service, folder: Path, address: tuple[str, int]) -> Running:
    """Starts the process in its own session and records it; does not wait until it answers."""
    host, port = address
    reached = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - compared, not listened on
    draft = Running(0, reached, port, secrets.token_hex(8), service.purpose)
    environment = {name: value.replace(ADDRESS, draft.address) for name, value in service.environment.items()}
    words = ["-m", service.module, *service.arguments, "--host", host, "--port", str(port)]
    file = record_file(service.name, folder)
    write_whole(file, json.dumps(asdict(draft)))  # if we are killed now, the mark still finds the process
    pid = _spawn(words, {**environment_of_servers(), **environment, MARK: draft.mark}, log_file(service.name, folder))
    running = replace(draft, pid=pid)
    write_whole(file, json.dumps(asdict(running)))
    return running


def find(name: str, folder: Path) -> Running | None:
    """The recorded process, if it is still running."""
    running = recorded(name, folder)
    return running if running and _is_alive(running) else None


def wait_until_healthy(service: Service, running: Running, folder: Path) -> None:
    """Waits until the health check answers 200, or answers that waiting is of no use.

    Raises ConfigurationError with the end of the log if the server stops or does not answer in START_SECONDS.
    """
    deadline = time.monotonic() + START_SECONDS
    absences = 0  # a single one may be the moment when the shell execs the server
    while absences < 3:
        alive = _is_alive(running)
        health = get_health(running.host, running.port, service.health)
        if alive and (health.status == http.HTTPStatus.OK or health.settled):
            return
        if time.monotonic() > deadline:
            raise _failure(service, folder, f"does not answer at {running.address}{service.health}: {health.reason}")
        absences = 0 if alive else absences + 1
        time.sleep(0.2)
    raise _failure(service, folder, "stopped while starting")


def wait_while_reason_names(text: str, running: Running, health: str) -> None:
    """Waits while the server gives a reason with that text: it may have asked another one before that answered."""
    deadline = time.monotonic() + START_SECONDS
    while text in get_health(running.host, running.port, health).reason and time.monotonic() < deadline:
        time.sleep(0.2)


def end(name: str, folder: Path) -> bool:
    """Ends the recorded process and its children; returns whether any was running."""
    running = recorded(name, folder)
    if running is None or not (pids := _processes(running.mark)):
        return False
    _signal([running.pid] if running.pid in pids else pids, signal.SIGTERM)
    if not _wait_until_gone(running.mark):
        _signal(_processes(running.mark), signal.SIGKILL)
    return True


@dataclass(frozen=True)
class Health:
    """Result of a health check: status (0: no response), why it is not 200, and whether waiting is of no use."""

    status: int
    reason: str = ""
    settled: bool = False


def get_health(host: str, port: int, path: str) -> Health:
    """Runs a health check; our own service explains in a problem document why it is not ready."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return Health(0, f"{type(error).__name__}")
    finally:
        connection.close()
    if response.status == http.HTTPStatus.OK:
        return Health(response.status)
    return _problem(response.status, body)


def _problem(status: int, body: bytes) -> Health:
    try:
        problem = json.loads(body)
        return Health(status, str(problem["detail"]), problem.get("settled", False))
    except (ValueError, TypeError, KeyError):
        return Health(status, f"HTTP {status}")


def record_file(name: str, folder: Path) -> Path:
    """The record of the process."""
    return folder / f"{name}.json"


def log_file(name: str, folder: Path) -> Path:
    """The log of the process."""
    return folder / f"{name}.log"


def _spawn(words: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Starts Python in the log's folder, where no package of this checkout hides the Bento's own; returns the pid.

    A shell opens the log and execs the server, so that no parent has to wait. The umask makes every file that the
    server writes readable by its owner only.
    """
    if log.is_file():
        log.replace(log.with_suffix(".log.old"))
    shell = ["/bin/sh", "-c", 'umask 077 && cd "$0" && log="$1" && shift && exec "$@" </dev/null >>"$log" 2>&1']
    return os.posix_spawn(
        shell[0], [*shell, str(log.parent), str(log), sys.executable, *words], environment, setsid=True
    )


def recorded(name: str, folder: Path) -> Running | None:
    """The process as it was started last, running or not."""
    try:
        return Running(**json.loads(record_file(name, folder).read_text()))
    except FileNotFoundError:
        return None


def _is_alive(running: Running) -> bool:
    """Whether the process with the recorded pid has the mark; a zombie has none."""
    with suppress(psutil.Error):
        return bool(psutil.Process(running.pid).environ().get(MARK) == running.mark)
    return False


def _processes(mark: str) -> tuple[int, ...]:
    """The pids of processes with the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                found.append(process.pid)
    return tuple(found)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait_until_gone(mark: str) -> bool:
    deadline = time.monotonic() + STOP_SECONDS
    while _processes(mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _failure(service: Service, folder: Path, what: str) -> ConfigurationError:
    log = log_file(service.name, folder)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    return ConfigurationError(f"{service.title} {what}. {log} ends:\n{tail}")
