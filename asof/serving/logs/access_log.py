"""The access log: one line of JSON on standard output for each request."""

import sys
from datetime import UTC, datetime
from time import perf_counter

from pydantic_core import to_json
from starlette.types import Scope

from asof.serving.logs.json_lines import JsonLines

NOT_LOGGED = frozenset({"/healthz", "/livez", "/metrics", "/ping", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""Paths that are requested every few seconds."""

KEY = "key"
"""The member of a request's state with the name of its API key."""


class AccessLog:
    """One for each worker; nothing is written unless `on`."""

    def __init__(self, *, on: bool) -> None:
        self._lines = JsonLines(_print) if on else None

    def finished(self, scope: Scope, request_id: str, *, status: int, begun: float) -> None:
        """Logs a request; `begun` is the value of `perf_counter` when it arrived."""
        if self._lines is None or scope["path"] in NOT_LOGGED:
            return
        key = scope.get("state", {}).get(KEY)
        record = {
            "at": datetime.now(UTC).isoformat(),
            "request_id": request_id,
            "client": scope["client"][0] if scope.get("client") else None,
            **({"key": key} if key else {}),
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round((perf_counter() - begun) * 1000, 3),
        }
        self._lines.add(to_json(record).decode())


def _print(lines: str) -> None:
    sys.stdout.write(lines + "\n")
    sys.stdout.flush()
