"""BentoML as in its guide: `bentoml.mlflow.load_model` at start, Feast's SDK for each request or batch."""

import os

import bentoml

from benchmarks.serving.peers.feast_frame import FeastFrame

MODEL = os.environ["BENCHMARK_MODEL"]


@bentoml.service
class Guide:
    stored = bentoml.models.BentoModel(MODEL)

    def __init__(self) -> None:
        self.model = bentoml.mlflow.load_model(self.stored)
        self.features = FeastFrame(self.model)

    @bentoml.api
    def predict(self, user_id: str) -> dict[str, float]:
        frame = self.features.read([user_id])
        return {"probability": float(self.model.predict(frame)[0, 1])}


@bentoml.service
class Batchable:
    """With adaptive batching: concurrent requests share one lookup and one prediction."""

    stored = bentoml.models.BentoModel(MODEL)

    def __init__(self) -> None:
        self.model = bentoml.mlflow.load_model(self.stored)
        self.features = FeastFrame(self.model)

    @bentoml.api(batchable=True)
    def predict(self, user_ids: list[str]) -> list[float]:
        probabilities: list[float] = self.model.predict(self.features.read(user_ids))[:, 1].tolist()
        return probabilities
