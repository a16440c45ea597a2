"""BentoML as in its guide: `bentoml.mlflow.load_model` at start, Feast's SDK for each request."""

import os

import bentoml

from benchmarks.serving.peers.feast_frame import FeastFrame


@bentoml.service
class Guide:
    stored = bentoml.models.BentoModel(os.environ["BENCHMARK_MODEL"])

    def __init__(self) -> None:
        self.model = bentoml.mlflow.load_model(self.stored)
        self.features = FeastFrame(self.model)

    @bentoml.api
    def predict(self, user_id: str) -> dict[str, float]:
        frame = self.features.read([user_id])
        return {"probability": float(self.model.predict(frame)[0, 1])}
