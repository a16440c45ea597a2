"""The paths in BentoML's metrics: one label for the features of all users, one for all unknown paths.

BentoML keeps about twenty time series for each path that was ever requested, and a path may contain any id or text.
"""

from collections.abc import Mapping
from functools import cache, cached_property
from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

FEATURES, OTHER = "/features/", "(other)"
MODELS, INFER = "/v2/models/", "/infer"
KNOWN = frozenset(
    {
        "/",
        "/docs.json",
        "/features",
        "/health",
        "/healthz",
        "/invocations",
        "/livez",
        "/metrics",
        "/model",
        "/outcomes",
        "/ping",
        "/predict",
        "/predict/batch",
        "/readyz",
        "/v2",
        "/v2/",
        "/v2/health/live",
        "/v2/health/ready",
        "/version",
    }
)
METRICS = "/metrics"


def endpoint(path: str) -> str:
    """The label of a path."""
    if path in KNOWN:
        return path
    if path.startswith(MODELS):  # any name and version
        return f"{MODELS}...{INFER}" if path.endswith(INFER) else f"{MODELS}..."
    return f"{FEATURES}..." if path.startswith(FEATURES) else OTHER


class TrafficMetrics:
    """ASGI middleware: BentoML's metrics of each request, under its endpoint.

    `bentoml` is BentoML's own middleware, which makes them, and `labels` are those of the service. It looks up five
    labels seven times a request, which takes longer than counting: here each time series is looked up once.
    """

    def __init__(self, app: ASGIApp, *, bentoml: Any, labels: Mapping[str, str]) -> None:
        self.app, self._bentoml, self._labels = app, bentoml, labels

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == METRICS:
            await self.app(scope, receive, send)
            return
        begun, path, status = perf_counter(), endpoint(scope["path"]), 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                requests, seconds = self._series.answered(path, status)
                requests.inc()
                seconds.observe(perf_counter() - begun)
            await send(message)

        if not path.startswith(self._series.probes):
            self._series.last_request.set_to_current_time()
        with self._series.in_progress(path).track_inprogress():
            await self.app(scope, receive, counted)

    @cached_property
    def _series(self) -> "_Series":
        """Made by the first request: they are of the process that serves."""
        self._bentoml._setup()
        return _Series(self._bentoml, self._labels)


class _Series:
    """The time series of BentoML's metrics; there are few endpoints and statuses."""

    def __init__(self, bentoml: Any, labels: Mapping[str, str]) -> None:
        def answered(path: str, status: int) -> tuple[Any, Any]:
            own = {"endpoint": path, "http_response_code": status, **labels}
            return bentoml.metrics_request_total.labels(**own), bentoml.metrics_request_duration.labels(**own)

        self.probes = tuple(bentoml.skip_paths)
        self.last_request = bentoml.metrics_last_request_timestamp.labels(**labels)
        self.in_progress = cache(lambda path: bentoml.metrics_request_in_progress.labels(endpoint=path, **labels))
        self.answered = cache(answered)
