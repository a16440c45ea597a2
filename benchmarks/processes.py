"""A module in a process of its own: its last line of stdout is its result."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from asof.settings import PROJECT


def run_json(environment: Mapping[str, str], module: str, *words: str) -> dict[str, Any]:
    """Runs `python -m module words` from the project and reads the JSON in its last line.

    Raises subprocess.CalledProcessError where it fails; what it says on stderr is passed through.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
