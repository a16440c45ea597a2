"""Ray Serve as in its tutorial for scikit-learn: a deployment of one replica behind Ray's HTTP proxy.

`python -m benchmarks.serving.peers.ray_serve --host HOST --port PORT`, on a Ray of its own.
"""

import argparse
import os
import signal
from typing import Any

import mlflow
import ray
from ray import serve
from starlette.requests import Request

from benchmarks.serving.peers.feast_frame import FeastFrame


@serve.deployment
class Churn:
    def __init__(self) -> None:
        self.model = mlflow.pyfunc.load_model(os.environ["BENCHMARK_MODEL"])
        self.features = FeastFrame(self.model)

    async def __call__(self, request: Request) -> dict[str, Any]:
        user = (await request.json())["user_id"]
        return {"probability": float(self.model.predict(self.features.read([user]))[0, 1])}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    ray.init(include_dashboard=False)
    serve.start(http_options={"host": options.host, "port": options.port})
    serve.run(Churn.bind(), route_prefix="/predict")  # type: ignore[attr-defined]
    signal.pause()


if __name__ == "__main__":
    main()
