"""A stack of docker-compose.yml for tests: secrets, ports and name of its own, and what is asked of it from outside."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from asof.settings import PROJECT
from local.ports import any_free_port
from local.stack.stack_secrets import make_secrets

PORTS = ("PREDICTION_PORT", "MLFLOW_UI_PORT", "PREFECT_UI_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT", "CONSOLE_PORT")
LONG_RUNNING = ("postgres", "mlflow", "prefect", "worker-ingest", "worker-training", "prediction", "shipper", "console")
JOBS = ("databases", "mlflow-users", "deployments", "ingest", "train")
PUBLIC = ("TRUSTED_KEYS",)
"""What `make secrets` makes that everybody may know."""


def run(*words: str, within: float = 600, **more: Any) -> str:
    """A command's standard output; its errors are shown where it fails."""
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, timeout=within, check=False, **more)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def until(true: Callable[[], Any], what: str, within: float = 180) -> Any:
    """What the function gives as soon as it gives something; it may fail before."""
    end, last = time.monotonic() + within, None
    while time.monotonic() < end:
        try:
            if got := true():
                return got
        except (AssertionError, httpx.HTTPError, KeyError) as error:
            last = error
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {within:g} s; last: {last!r}")


@dataclass
class Stack:
    """`folder` holds its .env, its API keys and its extracts; `images` are the variables that name images."""

    folder: Path
    name: str
    images: Mapping[str, str]
    users: tuple[str, ...] = ()
    account: dict[str, str] = field(default_factory=dict)

    @property
    def env_file(self) -> Path:
        return self.folder / ".env"

    @property
    def keys(self) -> Path:
        return self.folder / ".keys"

    @property
    def secrets(self) -> dict[str, str]:
        """Each by its name, as `make secrets` made them."""
        pairs = (line.split("=", 1) for line in self.env_file.read_text().splitlines() if "=" in line)
        return {name: value for name, value in pairs if name not in PUBLIC}

    @property
    def variables(self) -> dict[str, str]:
        """What a shell has in which compose is called; nothing of the caller's own .env."""
        variables = json.loads((self.folder / "variables.json").read_text())
        folders = {"EXTRACTS": str(self.folder / "extracts"), "API_KEYS_FOLDER": str(self.keys)}
        return {**os.environ, **self.images, **variables, **folders, "DOCKER_BUILDKIT": "0"}

    @property
    def words(self) -> tuple[str, ...]:
        return ("docker-compose", "--env-file", str(self.env_file), "-p", self.name)

    def prepare(self, **variables: str) -> None:
        """Secrets and ports, made once, beside what else is set."""
        make_secrets(self.folder)
        file = self.folder / "variables.json"
        if not file.exists():
            ports = {name: str(any_free_port("127.0.0.1")) for name in PORTS}
            file.write_text(json.dumps(ports | variables))

    def compose(self, *words: str, within: float = 900, **variables: str) -> str:
        return run(*self.words, *words, within=within, env={**self.variables, **variables})

    def container(self, service: str) -> str:
        """The id of the service's container."""
        return self.compose("ps", "-q", service).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        (found,) = json.loads(run("docker", "inspect", self.container(service)))
        return dict(found)

    def inside(self, service: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command in the service's container, whether it succeeds or not."""
        options = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        command = ["docker", "exec", *options, self.container(service), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    def python(self, service: str, program: str) -> subprocess.CompletedProcess[str]:
        return self.inside(service, "python", "-c", program)

    def sql(self, database: str, query: str) -> str:
        """What the superuser is told."""
        words = ("sh", "-c", 'PGPASSWORD=$POSTGRES_PASSWORD exec psql -U postgres -d "$0" -Atc "$1"', database, query)
        done = self.inside("postgres", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def address(self, port: str) -> str:
        return f"http://127.0.0.1:{self.variables[port]}"

    def predict(self, user: str | None = None, **more: Any) -> httpx.Response:
        """What the service says of a user, to whom has the key of `make secrets`."""
        headers = {"Authorization": f"Bearer {self.secrets['API_KEY']}"}
        body = {"user_id": user or self.users[0]}
        return httpx.post(f"{self.address('PREDICTION_PORT')}/predict", json=body, headers=headers, timeout=15, **more)

    def model(self) -> dict[str, Any]:
        """GET /model, with the administrator's key."""
        headers = {"Authorization": f"Bearer {self.secrets['METRICS_KEY']}"}
        answer = httpx.get(f"{self.address('PREDICTION_PORT')}/model", headers=headers, timeout=15)
        return dict(answer.raise_for_status().json())

    def is_ready(self) -> bool:
        return httpx.get(f"{self.address('PREDICTION_PORT')}/readyz", timeout=10).status_code == 200

    def wait_until_ready(self, within: float = 240) -> float:
        """Seconds until the prediction service is ready."""
        begun = time.monotonic()
        until(self.is_ready, "the prediction service is ready", within)
        return time.monotonic() - begun

    def wait_until_healthy(self, *services: str, within: float = 300) -> None:
        """Those named, or all; whoever lost its database may have started anew meanwhile."""
        for each in services or LONG_RUNNING:
            health = lambda each=each: self.inspect(each)["State"]["Health"]["Status"] == "healthy"  # noqa: E731
            until(health, f"{each} is healthy", within)

    def state(self, services: Sequence[str] = LONG_RUNNING) -> dict[str, tuple[str, str]]:
        """Each service's container and when it was started."""
        return {each: (state["Id"], state["State"]["StartedAt"]) for each in services for state in [self.inspect(each)]}

    def down(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "20", COMPOSE_PROFILES="monitoring")
