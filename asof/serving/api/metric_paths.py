"""The paths in BentoML's metrics: one label for the features of all users, one for all unknown paths.

BentoML keeps about twenty time series for each path that was ever requested, and a path may contain any id or text.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

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
REQUEST_PATH = "asof.path"
"""The member of a scope with the path that was requested."""


def endpoint(path: str) -> str:
    """The label of a path."""
    if path in KNOWN:
        return path
    if path.startswith(MODELS):  # any name and version
        return f"{MODELS}...{INFER}" if path.endswith(INFER) else f"{MODELS}..."
    return f"{FEATURES}..." if path.startswith(FEATURES) else OTHER


class PathToEndpoint:
    """ASGI middleware that replaces paths by their labels, until `EndpointToPath` restores them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and scope["path"] not in KNOWN:
            scope = {**scope, "path": endpoint(scope["path"]), REQUEST_PATH: scope["path"]}
        await self.app(scope, receive, send)


class EndpointToPath:
    """ASGI middleware that restores the requested path."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if REQUEST_PATH in scope:
            scope = {**scope, "path": scope[REQUEST_PATH]}
        await self.app(scope, receive, send)
