"""MLServer with its scikit-learn runtime, as in its documentation; the features are in the request.

`python -m benchmarks.serving.peers.ml_server --host HOST --port PORT` writes the two settings files to the current
folder, and runs `mlserver start` there.
"""

import argparse
import json
import os
from pathlib import Path

from mlserver.cli.main import root as mlserver

from benchmarks.serving.setup.world import JOBLIB
from local.ports import any_free_port


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    model = str(Path(os.environ["BENCHMARK_MODEL"]) / JOBLIB)
    model_settings = {
        "name": "churn",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": model, "version": "1"},
    }
    settings = {
        "host": options.host,
        "http_port": options.port,
        "grpc_port": any_free_port(options.host),
        "metrics_port": any_free_port(options.host),
    }
    Path("model-settings.json").write_text(json.dumps(model_settings))
    Path("settings.json").write_text(json.dumps(settings))
    mlserver(["start", "."])


if __name__ == "__main__":
    main()
