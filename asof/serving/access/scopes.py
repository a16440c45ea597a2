"""The scopes of API keys, and those that a path requires; a path that is not listed requires `admin`.

Scopes do not include each other: a key that scrapes /metrics need not read users. `what-if` is for a request to
/predict with overrides, which needs `predict`, too.
"""

from collections.abc import Mapping
from typing import Any

from asof.errors import Forbidden
from asof.serving.logs.access_log import KEY

PREDICT, WHAT_IF, OUTCOMES, ADMIN = "predict", "what-if", "outcomes", "admin"
SCOPES = frozenset({PREDICT, WHAT_IF, OUTCOMES, ADMIN})
HELD = "scopes"
"""The member of a request's state with the scopes of its key; there is none where the service has no keys."""

OPEN = frozenset({"/healthz", "/livez", "/ping", "/readyz", "/v2/health/live", "/v2/health/ready", "/version"})
"""Probes need no key."""

_PREDICT, _ADMIN = frozenset({PREDICT}), frozenset({ADMIN})
_BY_PATH = {
    "/predict": _PREDICT,
    "/predict/batch": _PREDICT,
    "/features": _PREDICT,
    "/invocations": _PREDICT,
    "/v2": _PREDICT,
    "/outcomes": frozenset({OUTCOMES}),
    "/docs.json": SCOPES,
    "/schema.json": SCOPES,
}

_PREDICT_PREFIXES = ("/features/", "/v2/")


def scopes_for(path: str) -> frozenset[str]:
    """Any one of these is sufficient; every key has at least one scope."""
    return _BY_PATH.get(path) or (_PREDICT if path.startswith(_PREDICT_PREFIXES) else _ADMIN)


def require(scope: str, state: Mapping[str, Any], *, what: str) -> None:
    """Raises Forbidden where the key of a request with this state lacks the scope that `what` it asks for needs."""
    if HELD in state and scope not in state[HELD]:
        raise Forbidden(f"{what} require a key with the scope {scope}, which {state[KEY]} lacks.", scope=scope)
