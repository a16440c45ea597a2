"""The prediction image by itself: built from a small model's Bento, run as it is meant to be run."""

import json
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from asof.settings import Settings
from tests.kits.service.serving import free_port

CONFINED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--network", "host"),
)


@dataclass(frozen=True)
class Container:
    """One that runs, and the port it answers on."""

    name: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lines(self) -> list[str]:
        """What it has said so far, on both streams."""
        done = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True)
        return [*done.stdout.splitlines(), *done.stderr.splitlines()]

    def state(self) -> dict[str, Any]:
        state = json.loads(docker("inspect", self.name))[0]["State"]
        assert isinstance(state, dict)
        return state

    def inside(self, *words: str) -> str:
        return docker("exec", self.name, *words)

    def wait_until_ready(self, seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.state()["Running"]:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
        raise AssertionError("\n".join(self.lines()[-20:]))


@contextmanager
def running(image: str, settings: Settings, **variables: str) -> Iterator[Container]:
    """A container without rights; gone after the block."""
    container = Container(f"asof-test-image-{uuid.uuid4().hex[:8]}", free_port())
    environment = {
        **settings.environment(),
        **variables,
        "BENTOML_PORT": str(container.port),
        "BENTOML_HOST": "127.0.0.1",
    }
    options = [word for name, value in environment.items() if name != "ASOF_HOME" for word in ("-e", f"{name}={value}")]
    docker("run", "-d", "--name", container.name, *CONFINED, *options, image)
    try:
        yield container
    finally:
        subprocess.run(["docker", "rm", "-f", container.name], capture_output=True, check=False)


class SlowRequest:
    """A request whose first half is with the service; `finish` sends the rest and gives the answer's status."""

    def __init__(self, container: Container, user: str) -> None:
        body = json.dumps({"user_id": user}).encode()
        head = f"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._rest = body[5:]
        self._connection = socket.create_connection(("127.0.0.1", container.port), 15)
        self._connection.sendall(head.encode() + b"\r\n\r\n" + body[:5])

    def finish(self) -> int:
        with self._connection as connection:
            connection.sendall(self._rest)
            return int(connection.recv(4096).split()[1])


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout
