"""The fast path is observable: metrics, one log line of JSON per request, and traces for callers who trace."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from asof.settings import Settings
from tests.kits.service import following as follow
from tests.kits.service import serving as kit
from tests.kits.service.serving import NOW, USER
from tests.kits.service.small_model import SmallModel

NOT_NEEDED = ("mlflow", "prefect", "pandas", "pyarrow", "skops", "sklearn")
"""What a service of a compiled model never imports: none of it can be."""

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
MANY = kit.users_like(64, seed=3)


@dataclass
class Collector:
    """An OpenTelemetry collector that keeps what it receives."""

    address: str
    received: list[bytes] = field(default_factory=list)

    def has(self, trace_id: str) -> bool:
        return any(bytes.fromhex(trace_id) in body for body in self.received)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens for the time of a block."""

    class Keeping(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Keeping) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}/v1/traces")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Observed:
    """The running service, what it writes, and where its traces go."""

    client: httpx.Client
    log: Path
    collector: Collector

    def predict(self, user: str = "good", **headers: str) -> httpx.Response:
        return self.client.post("/predict", json={"user_id": user}, headers=headers)

    def counted(self, metric: str, *labels: str) -> float:
        lines = self.client.get("/metrics").text.splitlines()
        found = [line for line in lines if line.startswith(metric) and all(label in line for label in labels)]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def access(self, request_id: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["request_id"] == request_id]


@pytest.fixture(scope="module")
def observed(
    settings: Settings, small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Observed]:
    kit.write_users(settings, {"good": USER, **MANY}, NOW)
    folder = tmp_path_factory.mktemp("observed")
    with collecting() as collector:
        tracing = {"exporter_type": "otlp", "otlp": {"protocol": "http", "endpoint": collector.address}}
        config = folder / "bentoml.yaml"
        config.write_text(json.dumps({"services": {kit.NAME: {"tracing": tracing}}}))
        variables = {"ASOF_CLOCK": NOW.isoformat(), "BENTOML_CONFIG": str(config), "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with kit.serving(settings, small_model.bundle.bento_tag, folder, NOT_NEEDED, **variables) as client:
            yield Observed(client, folder / "log", collector)


def test_a_request_with_a_sampled_trace_is_exported(observed: Observed) -> None:
    answer = observed.predict(traceparent=f"00-{TRACE_ID}-b7ad6b7169203331-01")
    assert answer.status_code == 200
    kit.eventually(lambda: observed.collector.has(TRACE_ID), 20, observed.log)


def test_other_requests_are_not_exported(observed: Observed) -> None:
    other = "1" * 32
    observed.predict(traceparent=f"00-{other}-b7ad6b7169203331-00")
    observed.predict()
    before = len(observed.collector.received)
    last = "2" * 32
    observed.predict(traceparent=f"00-{last}-b7ad6b7169203331-01")
    kit.eventually(lambda: observed.collector.has(last), 20, observed.log)
    assert not observed.collector.has(other)
    assert len(observed.collector.received) <= before + 1


def test_a_traced_request_gets_the_same_answer(observed: Observed) -> None:
    traced = observed.predict(traceparent=f"00-{TRACE_ID}-b7ad6b7169203331-01").json()
    plain = observed.predict().json()
    assert traced | {"request_id": ""} == plain | {"request_id": ""}
    assert list(traced) == list(plain)


@pytest.mark.parametrize(("user", "status"), [("good", 200), ("nobody", 404)])
def test_each_request_is_logged_in_one_line_of_json(observed: Observed, user: str, status: int) -> None:
    asked = observed.predict(user)
    request_id = asked.headers["x-request-id"]
    kit.eventually(lambda: bool(observed.access(request_id)), 10, observed.log)
    (line,) = observed.access(request_id)
    assert line.pop("ms") > 0
    assert line.pop("at")
    assert line == {
        "request_id": request_id,
        "client": "127.0.0.1",
        "method": "POST",
        "path": "/predict",
        "status": status,
    }


def test_probes_and_scrapes_are_not_logged(observed: Observed) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        observed.client.get(path, headers={"X-Request-ID": "a-probe"})
    observed.client.get("/model", headers={"X-Request-ID": "a-person"})
    kit.eventually(lambda: bool(observed.access("a-person")), 10, observed.log)
    assert not observed.access("a-probe")


def test_bentomls_own_metrics_count_predictions_and_refusals(observed: Observed) -> None:
    requests = "bentoml_service_request_total"
    before = [observed.counted(requests, 'endpoint="/predict"', f'http_response_code="{code}"') for code in (200, 404)]
    observed.predict()
    observed.predict("nobody")
    after = [observed.counted(requests, 'endpoint="/predict"', f'http_response_code="{code}"') for code in (200, 404)]
    assert after == [before[0] + 1, before[1] + 1]


def test_metrics_name_no_user_and_do_not_grow_with_requested_paths(observed: Observed) -> None:
    def lines() -> list[str]:
        for path in ("/features/user-of-metrics", "/nothing/user-of-metrics"):
            assert observed.client.get(path, headers={"X-Request-ID": "of-metrics"}).json()["instance"] == path
        return observed.client.get("/metrics").text.splitlines()

    before = lines()
    for number in range(20):
        for path in (f"/features/user-of-metrics-{number}", f"/nothing-{number}", f"/healthz{number}"):
            assert observed.client.get(path).status_code == 404
    after = lines()
    assert len(after) == len(before)
    assert not any("user-of-metrics" in line for line in after)
    assert observed.counted("bentoml_service_request_total", 'endpoint="/features/..."') >= 20
    assert observed.counted("bentoml_service_request_total", 'endpoint="(other)"') >= 40


def test_concurrent_requests_are_predicted_in_batches(observed: Observed) -> None:
    async def ask_all() -> list[int]:
        async with httpx.AsyncClient(base_url=observed.client.base_url, timeout=30) as client:
            answers = await asyncio.gather(*(client.post("/predict", json={"user_id": user}) for user in MANY))
        return [answer.status_code for answer in answers]

    batches, rows = observed.counted("asof_batch_size_count"), observed.counted("asof_batch_size_sum")
    assert set(asyncio.run(ask_all())) == {200}
    batches, rows = observed.counted("asof_batch_size_count") - batches, observed.counted("asof_batch_size_sum") - rows
    assert rows == len(MANY)
    assert batches < len(MANY)


def test_a_prediction_takes_few_milliseconds_of_cpu(observed: Observed) -> None:
    """A design that calls Feast's API and builds a DataFrame takes over 20; `make soak` compares them."""
    workers = [psutil.Process(pid) for pid in follow.workers(observed.log)]

    def cpu_seconds() -> float:
        return sum(sum(worker.cpu_times()[:2]) for worker in workers)

    before = cpu_seconds()
    assert {observed.predict(user).status_code for user in [*MANY] * 4} == {200}
    assert cpu_seconds() - before < 0.008 * 4 * len(MANY)


def test_a_single_request_does_not_wait_for_a_batch(observed: Observed) -> None:
    before = observed.counted("asof_batch_size_bucket", 'le="1.0"')
    assert observed.predict().status_code == 200
    assert observed.counted("asof_batch_size_bucket", 'le="1.0"') == before + 1
