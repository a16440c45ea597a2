"""Each request -> one line of JSON on standard output: when, who, what, the status, the milliseconds."""

import sys
from datetime import UTC, datetime
from time import perf_counter

from pydantic_core import to_json
from starlette.types import Scope

from asof.serving.logs.json_lines import Lines

SILENT = frozenset({"/healthz", "/livez", "/metrics", "/readyz"})
"""Addresses that machines ask every few seconds."""

KEY = "key"
"""Where in a request's state the name of its API key stands."""


class AccessLog:
    """One for each worker; `on` says whether anything is written."""

    def __init__(self, *, on: bool) -> None:
        self._lines = Lines(_print) if on else None

    def finished(self, scope: Scope, request_id: str, *, status: int, begun: float) -> None:
        """`begun` is the value of `perf_counter` when the request came."""
        if self._lines is None or scope["path"] in SILENT:
            return
        key = scope.get("state", {}).get(KEY)
        told = {
            "at": datetime.now(UTC).isoformat(),
            "request_id": request_id,
            "client": scope["client"][0] if scope.get("client") else None,
            **({"key": key} if key else {}),
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round((perf_counter() - begun) * 1000, 3),
        }
        self._lines.add(to_json(told).decode())


def _print(lines: str) -> None:
    sys.stdout.write(lines + "\n")
    sys.stdout.flush()
