"""Platforms read their environment when they are imported, so a command sets it first."""

import subprocess
import sys

from asof.settings import PROJECT

SCRIPT = """
import sys
import flows.__main__
print(sorted({"bentoml", "feast", "mlflow", "prefect"} & sys.modules.keys()))
"""


def test_the_command_line_imports_no_platform_at_its_start() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
