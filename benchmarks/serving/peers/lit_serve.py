"""LitServe as in its documentation: a LitAPI, whose model and feature store are opened in `setup`.

`python -m benchmarks.serving.peers.lit_serve --host HOST --port PORT`; LitServe runs the LitAPI in a worker process.
"""

import argparse
import os
from typing import Any

import litserve
import mlflow

from benchmarks.serving.peers.feast_frame import FeastFrame


class Churn(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:  # noqa: ARG002
        self.model = mlflow.pyfunc.load_model(os.environ["BENCHMARK_MODEL"])
        self.features = FeastFrame(self.model)

    def decode_request(self, request: dict[str, Any]) -> str:
        return str(request["user_id"])

    def predict(self, user: str) -> float:
        return float(self.model.predict(self.features.read([user]))[0, 1])

    def encode_response(self, output: float) -> dict[str, float]:
        return {"probability": output}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    server = litserve.LitServer(Churn(), accelerator="cpu", workers_per_device=1)
    server.run(host=options.host, port=options.port, generate_client_file=False)


if __name__ == "__main__":
    main()
