"""Where and with what was measured."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from asof.settings import PROJECT

LIBRARIES = ("bentoml", "feast", "mlflow", "scikit-learn", "fastapi", "starlette", "uvicorn", "psycopg", "onnxruntime")


def described() -> dict[str, Any]:
    """The machine, the versions, the commit and the moment."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "versions": {library: version(library) for library in LIBRARIES},
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain")),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    with open("/proc/cpuinfo") as file:  # noqa: PTH123
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
