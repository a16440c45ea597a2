"""The usual design: FastAPI, Feast's SDK and MLflow's pyfunc model, loaded at start.

Feast's SDK blocks, so the endpoint is a plain `def`, which FastAPI runs in its threads as its documentation says.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import mlflow
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.serving.peers.feast_frame import FeastFrame


class User(BaseModel):
    user_id: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.model = mlflow.pyfunc.load_model(os.environ["BENCHMARK_MODEL"])
    app.state.features = FeastFrame(app.state.model)
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
def predict(user: User) -> dict[str, float]:
    frame = app.state.features.read([user.user_id])
    return {"probability": float(app.state.model.predict(frame)[0, 1])}
