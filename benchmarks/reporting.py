"""What the reports share: the machine, numbers of three digits and Markdown tables."""

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from asof.settings import PROJECT

LIBRARIES = ("bentoml", "feast", "mlflow", "scikit-learn", "fastapi", "starlette", "uvicorn", "psycopg", "onnxruntime")


def machine() -> dict[str, Any]:
    """The machine, versions, commit and time."""
    with open("/proc/cpuinfo") as file:  # noqa: PTH123
        processor = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": processor,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "versions": {library: version(library) for library in LIBRARIES},
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain")),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def machine_line(machine: Mapping[str, Any]) -> str:
    """The machine, commit and time as text."""
    commit = f"commit {machine['commit'][:8]}{' and changes' if machine['dirty'] else ''}"
    system = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
    return f"{system}; {commit}, {machine['date']}; load before {machine['load_before']:.2f}"


def short(value: float | None) -> str:
    """Three digits, or a dash."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
