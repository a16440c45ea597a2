"""An address -> the scopes of which a key needs one. What is not named here is an administrator's.

Scopes do not hold each other: what scrapes /metrics need not be able to ask about users.
"""

PREDICT, ADMIN = "predict", "admin"
SCOPES = frozenset({PREDICT, ADMIN})

OPEN = frozenset({"/healthz", "/livez", "/readyz"})
"""Probes have no key, and learn nothing but yes or no."""

_PREDICT, _ADMIN = frozenset({PREDICT}), frozenset({ADMIN})
_BY_PATH = {"/predict": _PREDICT, "/predict/batch": _PREDICT, "/docs.json": SCOPES}


def sufficient(path: str) -> frozenset[str]:
    """Any of these opens the address; every key has one at least."""
    return _BY_PATH.get(path) or (_PREDICT if path.startswith("/features/") else _ADMIN)
