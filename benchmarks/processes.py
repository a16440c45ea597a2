"""Runs a module in a process of its own; its result is its last line of stdout."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from asof.settings import PROJECT


def run_json(environment: Mapping[str, str], module: str, *arguments: str) -> dict[str, Any]:
    """The JSON in the last line of `python -m module arguments`; its stderr is passed through.

    Raises subprocess.CalledProcessError.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
