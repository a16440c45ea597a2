"""A request's path -> the endpoint that BentoML's metrics name: one for all users, and one for all that is not there.

BentoML keeps about twenty series for each path that it has ever seen, and a path may name a user, or be anything.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

FEATURES, OTHER = "/features/", "(other)"
KNOWN = frozenset(
    {"/", "/docs.json", "/health", "/healthz", "/livez", "/metrics", "/model", "/predict", "/predict/batch", "/readyz"}
)
OWN_PATH = "asof.path"
"""Where in a scope the request's own path stands meanwhile."""


def endpoint(path: str) -> str:
    """What is counted together."""
    if path in KNOWN:
        return path
    return f"{FEATURES}..." if path.startswith(FEATURES) else OTHER


class Endpoints:
    """ASGI middleware: what is behind it sees endpoints for paths, up to `OwnPaths`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and scope["path"] not in KNOWN:
            scope = {**scope, "path": endpoint(scope["path"]), OWN_PATH: scope["path"]}
        await self.app(scope, receive, send)


class OwnPaths:
    """ASGI middleware: what is behind it sees paths again."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if OWN_PATH in scope:
            scope = {**scope, "path": scope[OWN_PATH]}
        await self.app(scope, receive, send)
