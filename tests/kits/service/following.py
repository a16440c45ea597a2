"""For tests of a following service: an MLflow server, variants of the small model, load, and faults."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import psutil

from asof.features.feature_contract import FeatureContract, model_frame
from asof.inference.runtime import MODEL_ONNX
from asof.settings import Settings
from asof.targets import BinaryOutput
from asof.trust.golden_rows import GoldenRows
from asof.trust.trusted_types import load_trusted
from local.stack import background
from local.stack.background import Service
from local.stack.services import mlflow_service
from tests.kits.machine.free_port import free_port
from tests.kits.models.promotion import always
from tests.kits.service import serving as kit
from training.models.compilation.compile import compile_model
from training.models.evaluation.seal import seal
from training.release.promotion.promote import promote as pass_gate
from training.release.registry.versions import ALIAS, ModelVersion
from training.tracking.artifacts import log_file
from training.tracking.client import open_tracking, tracked_run

Alter = Callable[[Path], None]


@dataclass(frozen=True)
class MlflowServer:
    """A real MLflow server on the tracking database of the tests; it can be stopped and started."""

    service: Service
    folder: Path
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        running = background.launch(self.service, self.folder, ("127.0.0.1", self.port))
        background.wait_until_healthy(self.service, running, self.folder)

    def stop(self) -> None:
        background.end(self.service.name, self.folder)


@contextlib.contextmanager
def mlflow_server(settings: Settings, folder: Path) -> Iterator[MlflowServer]:
    """Runs the server for the block."""
    service = mlflow_service(settings)
    assert service
    server = MlflowServer(service, folder, free_port(15050, service.title))
    server.start()
    yield server
    server.stop()


@dataclass(frozen=True)
class Variant:
    """How a small model differs from the others: its training seed, what it does with unknown categories, its features.

    A `compiled` one is served without scikit-learn. `shift` is added to the probabilities of its golden rows; `alter`
    changes its files before it is signed, `tamper` afterwards; `signed_for` is the run that its manifest names (None:
    its own), `sealed` whether it has one.
    """

    seed: int = 1
    unknown: str = "ignore"
    compiled: bool = False
    contract: FeatureContract | None = None
    shift: float = 0.0
    alter: Alter | None = None
    tamper: Alter | None = None
    signed_for: str | None = None
    sealed: bool = True


def publish(settings: Settings, contract: FeatureContract, variant: Variant = Variant()) -> ModelVersion:
    """Trains, logs, seals and registers a variant of the small model; returns the version, not yet promoted."""
    import mlflow

    taken = variant.contract or contract
    facts = kit.facts_of(taken)
    estimator = kit.fit_small_model(taken, variant.seed, variant.unknown)
    with tracked_run(settings, "following-tests", f"seed {variant.seed}") as (client, run_id):
        logged = mlflow.sklearn.log_model(
            estimator,
            name="model",
            pip_requirements=["scikit-learn"],
            metadata={"asof": facts.to_dict()},
            serialization_format="skops",
        )
    rows = [kit.flat(views) for views in kit.users_like(20, seed=2).values()]
    frame = model_frame(pd.DataFrame(rows), taken)
    if variant.compiled:
        graph = compile_model(estimator, frame, BinaryOutput(kit.THRESHOLD))
        log_file(client, logged.model_uri, MODEL_ONNX, graph.content)
    folder = _folder(logged.model_id)
    if variant.alter:
        variant.alter(folder)
    probabilities = estimator.predict_proba(frame)[:, 1] + variant.shift
    if variant.sealed:
        seal(settings, logged.model_uri, variant.signed_for or run_id, GoldenRows(rows, probabilities.tolist()))
    if variant.tamper:
        variant.tamper(folder)
    made = mlflow.register_model(logged.model_uri, kit.NAME)
    return ModelVersion(kit.NAME, str(made.version), run_id, facts, metrics={})


def seal_again(settings: Settings, version: ModelVersion) -> None:
    """Signs a version's files as they are now, with golden rows of the first 20 users."""
    import mlflow

    source = mlflow.MlflowClient().get_model_version(version.name, version.version).source
    estimator = load_trusted((_folder(source.removeprefix("models:/")) / "model.skops").read_bytes())
    rows = [kit.flat(views) for views in kit.users_like(20, seed=2).values()]
    probabilities = estimator.predict_proba(model_frame(pd.DataFrame(rows), version.facts.contract))[:, 1]
    seal(settings, source, version.run_id, GoldenRows(rows, probabilities.tolist()))


def _folder(model_id: str) -> Path:
    """Where MLflow keeps the files of a logged model."""
    import mlflow

    return Path(mlflow.get_logged_model(model_id).artifact_location.removeprefix("file://"))


def promote(settings: Settings, version: ModelVersion) -> None:
    """Promotes the version without a gate."""
    pass_gate(settings, version, judge=always)


def withdraw(settings: Settings) -> None:
    """Removes the alias of the production version."""
    open_tracking(settings).delete_registered_model_alias(kit.NAME, ALIAS)


def predict(client: httpx.Client, user: str = "good") -> httpx.Response:
    return client.post("/predict", json={"user_id": user})


def served(client: httpx.Client) -> str:
    """The version that answers."""
    return str(predict(client).json()["model"]["version"])


def following(client: httpx.Client) -> dict[str, Any]:
    """The member `following` of GET /model."""
    state: dict[str, Any] = client.get("/model").json()["following"]
    return state


def wait_for(client: httpx.Client, version: str, log: Path, *, in_a_row: int = 1, seconds: float = 30) -> float:
    """Seconds until the version answers `in_a_row` consecutive requests over separate connections."""
    begun, row = time.monotonic(), 0

    def holds() -> bool:
        nonlocal row
        with httpx.Client(base_url=client.base_url, timeout=60, verify=False) as fresh:  # any worker may accept it
            try:
                answer = predict(fresh)  # one that is not ready yet predicts nothing
            except httpx.TransportError:  # it was killed
                row = 0
            else:
                row = row + 1 if answer.status_code == 200 and answer.json()["model"]["version"] == version else 0
        return row >= in_a_row

    until = begun + seconds * kit.SHARED
    while not holds():
        assert time.monotonic() < until, f"version {version} does not answer: {log.read_text()[-3000:]}"
        if not row:
            time.sleep(0.02)
    return time.monotonic() - begun


def metric(client: httpx.Client, name: str) -> float:
    """The value of a series, such as `asof_swaps_total{outcome="new"}`; 0 where there is none."""
    lines = (line.rpartition(" ") for line in client.get("/metrics").text.splitlines())
    return next((float(value) for series, _, value in lines if series == name), 0.0)


def workers(log: Path) -> list[int]:
    """The process ids of the workers of the service that writes this log."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = "_bentoml_impl.worker.service" in process.cmdline()
            if ours and str(log) in {file.path for file in process.open_files()}:
                found.append(process.pid)
    return sorted(found)


@dataclass(frozen=True)
class Answered:
    """Status (0: none came) and version (None: no prediction) of one answer; times are of the monotonic clock."""

    sent: float
    answered: float
    status: int
    version: str | None


PAUSE = 0.02
"""Seconds between two requests of a client: the machine has other work to do."""


@dataclass
class Load:
    """The answers to some clients, in order."""

    answers: list[Answered] = field(default_factory=list)

    @property
    def failed(self) -> list[Answered]:
        return [answer for answer in self.answers if answer.status != 200]

    @property
    def versions(self) -> set[str | None]:
        return {answer.version for answer in self.answers}


@contextlib.contextmanager
def load_on(client: httpx.Client, *, clients: int = 2, user: str = "good", keep_alive: bool = True) -> Iterator[Load]:
    """Sends requests from another thread until the block ends; without `keep_alive` each over its own connection."""
    load, stop = Load(), threading.Event()
    base_url, headers = client.base_url, {} if keep_alive else {"Connection": "close"}

    async def ask(asking: httpx.AsyncClient) -> None:
        while not stop.is_set():
            sent = time.monotonic()
            try:
                answer = await asking.post("/predict", json={"user_id": user})
                version = answer.json().get("model", {}).get("version")
                load.answers.append(Answered(sent, time.monotonic(), answer.status_code, version))
            except httpx.TransportError:
                load.answers.append(Answered(sent, time.monotonic(), 0, None))
            await asyncio.sleep(PAUSE)

    async def ask_all() -> None:
        async with httpx.AsyncClient(base_url=base_url, timeout=60, headers=headers, limits=kit.LIMITS) as asking:
            await asyncio.gather(*(ask(asking) for _ in range(clients)))

    thread = threading.Thread(target=lambda: asyncio.run(ask_all()))
    thread.start()
    try:
        yield load
    finally:
        stop.set()
        thread.join()


class Faults:
    """A proxy of MLflow; `fault(path)` may return status and body in place of MLflow's response."""

    def __init__(self, behind: str) -> None:
        self._client = httpx.Client(base_url=behind, timeout=10, verify=False)
        self.fault: Callable[[str], tuple[int, bytes] | None] = lambda path: None
        self.asked: list[str] = []
        self.released = threading.Event()
        self.address = ""

    def close(self) -> None:
        self._client.close()

    def hang(self, path: str) -> None:
        """A fault: no answer before `release`."""
        self.released.wait(60)

    def release(self) -> None:
        """No faults any more."""
        self.fault = lambda path: None
        self.released.set()
        self.released = threading.Event()

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        fault = self.fault(path)
        if fault:
            return fault
        answer = self._client.get(path)
        return answer.status_code, answer.content


@contextlib.contextmanager
def faulty(behind: str) -> Iterator[Faults]:
    """A server in front of MLflow, for faults that MLflow itself does not show on demand."""
    faults = Faults(behind)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = faults.answer(self.path)
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        faults.address = f"http://127.0.0.1:{server.server_port}"
        yield faults
        faults.release()
        server.shutdown()
        faults.close()


def naming(version: str, **changed: Any) -> bytes:
    """An answer as MLflow gives it, but for what is changed."""
    document = {"name": kit.NAME, "version": version, "run_id": "0" * 32, "source": f"models:/m-{'0' * 32}"}
    return json.dumps({"model_version": document | changed}).encode()
