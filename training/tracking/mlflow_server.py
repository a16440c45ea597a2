"""`mlflow server` in one process: `python -m training.tracking.mlflow_server --host ... --port ...`.

MLflow's command imports MLflow, and then starts uvicorn in another process, which imports it again: three seconds of a
processor and 260 MB. Here uvicorn runs in the process of the command.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

UVICORN = [sys.executable, "-m", "uvicorn"]


def main(words: Sequence[str]) -> None:
    """Runs `mlflow server` with these words; ends with the server."""
    from mlflow import server
    from mlflow.cli import cli

    start = server._exec_cmd

    def serve(command: Sequence[str], *, extra_env: Mapping[str, str], **options: Any) -> Any:
        if [*command[:3]] != UVICORN:
            return start(command, extra_env=extra_env, **options)
        import uvicorn

        os.environ.update(extra_env)
        raise SystemExit(uvicorn.main.main([*command[3:]], prog_name="uvicorn"))

    server._exec_cmd = serve
    cli.main(["server", *words], prog_name="mlflow")


if __name__ == "__main__":
    main(sys.argv[1:])
