"""One server process in the background: started, found again, waited for, ended.

In comes a Service and the folder for records and logs; out comes a Running. A record `NAME.json` holds the process's
number and a random mark that stands in the environment of that process and of its children: a number can be reused by
somebody else's process, the mark not.
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
from asof.settings import environment_of_servers

ADDRESS = "{address}"
MARK = "ASOF_STARTED_AS"
START_SECONDS = 120
STOP_SECONDS = 15


@dataclass(frozen=True)
class Service:
    """A server to run: a Python module and arguments (host and port are added); `health` answers 200 once ready.

    ADDRESS in a value of `environment` becomes the address that it gets.
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
        """A digest of all that makes a running one still the right one."""
        told = json.dumps([self.module, self.arguments, dict(self.environment)], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()


@dataclass(frozen=True)
class Running:
    """A process of ours; `host` and `port` are where it can be reached."""

    pid: int
    host: str
    port: int
    mark: str
    purpose: str

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"


def launch(service: Service, folder: Path, address: tuple[str, int]) -> Running:
    """Starts the process in a session of its own and records it; does not wait until it answers."""
    host, port = address
    reached = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - compared, not listened on
    draft = Running(0, reached, port, secrets.token_hex(8), service.purpose)
    given = {name: value.replace(ADDRESS, draft.address) for name, value in service.environment.items()}
    words = ["-m", service.module, *service.arguments, "--host", host, "--port", str(port)]
    file = record_file(service.name, folder)
    write_whole(file, json.dumps(asdict(draft)))  # so that a process whose starter is killed now is found by its mark
    pid = _spawn(words, {**environment_of_servers(), **given, MARK: draft.mark}, log_file(service.name, folder))
    running = replace(draft, pid=pid)
    write_whole(file, json.dumps(asdict(running)))
    return running


def find(name: str, folder: Path) -> Running | None:
    """The recorded process, if it still runs and still is ours."""
    running = _recorded(name, folder)
    return running if running and running.pid in _marked(running.mark) else None


def wait_until_healthy(service: Service, running: Running, folder: Path) -> None:
    """Returns when the health address answers 200, or that waiting is of no use.

    Raises ConfigurationError with the log's end where it does not.
    """
    deadline = time.monotonic() + START_SECONDS
    absences = 0  # one may be the instant in which the shell turns into the server
    while absences < 3:
        alive = running.pid in _marked(running.mark)
        answer = asked(running.host, running.port, service.health)
        if alive and (answer.status == http.HTTPStatus.OK or answer.settled):
            return
        if time.monotonic() > deadline:
            raise _failure(service, folder, f"does not answer at {running.address}{service.health}: {answer.why}")
        absences = 0 if alive else absences + 1
        time.sleep(0.2)
    raise _failure(service, folder, "stopped while starting")


def end(name: str, folder: Path) -> bool:
    """Ends the recorded process, if it is ours, and children that it left behind; says whether there were any."""
    running = _recorded(name, folder)
    if running is None or not (pids := _marked(running.mark)):
        return False
    _signal([running.pid] if running.pid in pids else pids, signal.SIGTERM)
    if not _all_gone(running.mark):
        _signal(_marked(running.mark), signal.SIGKILL)
    return True


@dataclass(frozen=True)
class Answer:
    """The status of a health address (0: none came); why it is not 200, and whether waiting changes nothing."""

    status: int
    why: str = ""
    settled: bool = False


def asked(host: str, port: int, path: str) -> Answer:
    """What GET answers; our own service says in a problem document why it is not ready."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"{type(error).__name__}")
    finally:
        connection.close()
    if response.status == http.HTTPStatus.OK:
        return Answer(response.status)
    return _unwell(response.status, body)


def _unwell(status: int, body: bytes) -> Answer:
    try:
        told = json.loads(body)
        return Answer(status, str(told["detail"]), told.get("settled", False))
    except (ValueError, TypeError, KeyError):
        return Answer(status, f"HTTP {status}")


def record_file(name: str, folder: Path) -> Path:
    """Where the process is recorded."""
    return folder / f"{name}.json"


def log_file(name: str, folder: Path) -> Path:
    """Where the process writes what it has to say."""
    return folder / f"{name}.log"


def _spawn(words: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Runs Python in the log's folder, where no package of this checkout hides the Bento's own; returns its number.

    A shell turns into the server once it has opened the log, so no parent has to wait for anything. What the server
    writes, its log and Prefect's database among it, is for its owner alone.
    """
    if log.is_file():
        log.replace(log.with_suffix(".log.old"))
    shell = ["/bin/sh", "-c", 'umask 077 && cd "$0" && log="$1" && shift && exec "$@" </dev/null >>"$log" 2>&1']
    return os.posix_spawn(
        shell[0], [*shell, str(log.parent), str(log), sys.executable, *words], environment, setsid=True
    )


def _recorded(name: str, folder: Path) -> Running | None:
    try:
        return Running(**json.loads(record_file(name, folder).read_text()))
    except FileNotFoundError:
        return None


def _marked(mark: str) -> tuple[int, ...]:
    """The processes that bear the mark; a zombie has no environment any more and does not count."""
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


def _all_gone(mark: str) -> bool:
    deadline = time.monotonic() + STOP_SECONDS
    while _marked(mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _failure(service: Service, folder: Path, what: str) -> ConfigurationError:
    log = log_file(service.name, folder)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    return ConfigurationError(f"{service.title} {what}. {log} ends:\n{tail}")
