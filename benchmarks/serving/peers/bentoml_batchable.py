"""BentoML's adaptive batching: concurrent requests share one lookup and one prediction."""

import os

import bentoml

from benchmarks.serving.peers.feast_frame import FeastFrame


@bentoml.service
class Batchable:
    stored = bentoml.models.BentoModel(os.environ["BENCHMARK_MODEL"])

    def __init__(self) -> None:
        self.model = bentoml.mlflow.load_model(self.stored)
        self.features = FeastFrame(self.model)

    @bentoml.api(batchable=True)
    def predict(self, user_ids: list[str]) -> list[float]:
        probabilities: list[float] = self.model.predict(self.features.read(user_ids))[:, 1].tolist()
        return probabilities
