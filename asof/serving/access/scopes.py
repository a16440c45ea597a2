"""The scopes of API keys, and those that a path requires; a path that is not listed requires `admin`.

Scopes do not include each other: a key that scrapes /metrics need not read users.
"""

PREDICT, OUTCOMES, ADMIN = "predict", "outcomes", "admin"
SCOPES = frozenset({PREDICT, OUTCOMES, ADMIN})

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
}

_PREDICT_PREFIXES = ("/features/", "/v2/")


def scopes_for(path: str) -> frozenset[str]:
    """Any one of these is sufficient; every key has at least one scope."""
    return _BY_PATH.get(path) or (_PREDICT if path.startswith(_PREDICT_PREFIXES) else _ADMIN)
