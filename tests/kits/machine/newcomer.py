"""A shell as a new user has it after cloning the project."""

import os
import re
import subprocess
from pathlib import Path

from asof.settings import PROJECT
from tests.kits.machine.free_port import free_port


class Newcomer:
    """A shell in the project's folder, with a home, a BentoML store and ports of its own."""

    def __init__(self, home: Path) -> None:
        names = ("ASOF_PORT", "ASOF_MLFLOW_PORT", "ASOF_PREFECT_PORT", "ASOF_POSTGRES_PORT", "ASOF_CONSOLE_PORT")
        ports = {name: free_port(23000 + 100 * n, name) for n, name in enumerate(names)}
        foreign = re.compile("ASOF_|MLFLOW_|PREFECT_|BENTOML_|MAKE|MFLAGS")
        inherited = {name: value for name, value in os.environ.items() if not foreign.match(name)}
        own = {"ASOF_HOME": str(home / "asof"), "BENTOML_HOME": str(home / "bentoml")}
        own["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "600"  # other tests may keep the machine busy
        self.port = ports["ASOF_PORT"]
        self.environment = {**inherited, **own, **{name: str(port) for name, port in ports.items()}}

    def run(self, command: str) -> str:
        """What the commands print to stdout; fails with the first that fails."""
        typed = re.sub(r'localhost(:|", )3000', rf"localhost\g<1>{self.port}", command)
        words = ["bash", "-eu", "-o", "pipefail", "-c", typed]
        done = subprocess.run(words, cwd=PROJECT, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{typed}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout
