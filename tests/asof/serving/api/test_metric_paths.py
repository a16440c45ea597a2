"""Our counting of requests gives the same time series as BentoML's."""

import asyncio
from itertools import count
from typing import Any

from bentoml._internal.server.http.instruments import RunnerTrafficMetricsMiddleware
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Receive, Scope, Send

from asof.serving.api.metric_paths import TrafficMetrics

LABELS = {"service_name": "svc", "service_version": "1", "runner_name": "svc"}
NUMBERS = count()
REQUESTS = [("/predict", 200), ("/predict", 200), ("/predict", 404), ("/livez", 200), ("/metrics", 200)]


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": scope["status"]})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    await send({"type": "http.response.body", "body": b"b"})


class Instruments:
    """BentoML's client of Prometheus, with a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def __getattr__(self, name: str) -> Any:
        kind = {"Counter": Counter, "Gauge": Gauge, "Histogram": Histogram}.get(name, Histogram)

        def made(**arguments: Any) -> Any:
            return kind(registry=self.registry, **arguments)

        return made


def series(*, ours: bool) -> dict[str, float]:
    """The samples after the requests."""
    instruments = Instruments()
    namespace = f"n{next(NUMBERS)}"  # the files of several processes keep the values of a name
    theirs: Any = RunnerTrafficMetricsMiddleware(answering, namespace=namespace)
    theirs._setup(metrics_client=instruments, duration_buckets=(1.0, 10.0))
    app: ASGIApp = theirs
    if ours:
        theirs._setup = lambda: None
        app = TrafficMetrics(answering, bentoml=theirs, labels=LABELS)

    async def run() -> None:
        for path, status in REQUESTS:
            scope = {"type": "http", "path": path, "status": status, "headers": []}
            await app(scope, no_message, no_answer)

    asyncio.run(run())
    samples = (each for metric in instruments.registry.collect() for each in metric.samples)
    return {
        f"{each.name.removeprefix(namespace)} {_own(each.labels)}": _plain(each.name, each.value) for each in samples
    }


def _own(labels: dict[str, str]) -> str:
    """The labels without those of the service, which are the process's for BentoML."""
    return str(sorted(each for each in labels.items() if each[0] not in LABELS))


def _plain(name: str, value: float) -> float:
    """The value; of times only whether there is one."""
    return float(value > 0) if name.endswith(("_sum", "_seconds", "_created")) else value


async def no_message() -> Any:
    raise AssertionError


async def no_answer(_: Any) -> None:
    pass


def test_the_time_series_are_bentomls() -> None:
    assert series(ours=True) == series(ours=False)


def test_requests_are_counted_by_endpoint_and_status() -> None:
    assert sorted(value for name, value in series(ours=True).items() if name.startswith("_request_total ")) == [
        1,
        1,
        2,
    ]
