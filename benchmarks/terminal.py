"""CPU and wall seconds of the commands that people type, beside those of `feast --help` in the same run.

The CPU seconds are those of the command and of the processes that it waits for; servers in the background, such as
the demo's, are not among them.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asof.settings import PROJECT, Settings

USERS, ROUNDS = 7_043, 3
PEERS = ("feast", "mlflow", "prefect")


@dataclass(frozen=True)
class Cost:
    """Of one run of a command."""

    cpu: float
    wall: float


def measure_terminal(settings: Settings, *, rounds: int = ROUNDS) -> Iterator[dict[str, Any]]:
    """A row for each command, on USERS simulated users; medians of some rounds for what can be repeated."""
    environment = _environment(settings)
    extracts, keys = settings.home / "extracts", settings.home / "api-keys"
    ingest = _flows("ingest", "churn", str(extracts), "--as-of", "2024-04-30", "--backfill")
    peers = {f"{name} --help": [str(Path(sys.executable).parent / name), "--help"] for name in PEERS}
    once = {
        "simulate": _flows("simulate", str(extracts), "--users", str(USERS), "--until", "2024-09-30"),
        "ingest": ingest,
        "retrain": _flows("retrain", "churn"),
        "api-keys add": _flows("api-keys", "add", "bench", "--scope", "predict", "--file", str(keys)),
    }
    often = {
        "--help": _flows("--help"),
        "--version": _flows("--version"),
        "status": [sys.executable, "-m", "local", "status"],
        "history": _flows("history", "churn"),
        "trace churn 1": _flows("trace", "churn", "1"),
        "doctor": _flows("doctor"),
        "api-keys list": _flows("api-keys", "list", "--file", str(keys)),
        "score": _flows("score", "churn"),
        "parity": _flows("parity", "churn"),
        "inspect": _flows("inspect", "churn"),
        "promote --dry-run": _flows("promote", "churn", "1", "--dry-run"),
        "rollback --to 1": _flows("rollback", "churn", "--to", "1"),
        "ingest, nothing new": ingest,
    }
    costs = {name: _cost(words, environment, rounds) for name, words in peers.items()}
    costs |= {name: _cost(words, environment, 1) for name, words in once.items()}
    costs |= {name: _cost(words, environment, rounds) for name, words in often.items()}
    whole = costs[f"{PEERS[0]} --help"].cpu
    for name, cost in costs.items():
        yield {
            "command": name,
            "of feast --help": round(cost.cpu / whole, 2),
            "CPU s": round(cost.cpu, 2),
            "seconds": round(cost.wall, 1),
        }


def _flows(*words: str) -> list[str]:
    return [sys.executable, "-m", "flows", *words]


def _environment(settings: Settings) -> dict[str, str]:
    """Without a Prefect server, and with byte code."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("PREFECT_API_URL", "PYTHONDONTWRITEBYTECODE")
    }
    return {**kept, **settings.environment()}


def _cost(words: list[str], environment: Mapping[str, str], rounds: int) -> Cost:
    """The medians of some rounds. Raises CalledProcessError where the command fails."""
    costs = [_run(words, environment) for _ in range(rounds)]
    return Cost(statistics.median(each.cpu for each in costs), statistics.median(each.wall for each in costs))


def _run(words: list[str], environment: Mapping[str, str]) -> Cost:
    begun = time.monotonic()
    with subprocess.Popen(
        words, cwd=PROJECT, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1) or b"error:" in errors:  # 1: the doctor or a check has findings
        sys.stderr.buffer.write(errors)
        raise subprocess.CalledProcessError(process.returncode, words)
    return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - begun)
