"""A use case's name and a model's tag -> the Bento service. The only file of this room that knows BentoML.

BentoML reads a service class's annotations at run time: no `from __future__ import annotations` here.
"""

import gc
from pathlib import Path
from typing import Any

import bentoml
from pydantic import BaseModel

from asof import use_cases
from asof.errors import FeatureStoreUnavailable
from asof.serving.boundary import Boundary
from asof.serving.http import create_app
from asof.serving.model import load_model
from asof.serving.predictor import Lineage, Predictor
from asof.settings import Settings
from asof.signing_keys import trusted_keys

# BentoML's timeout keeps every request's objects alive until it has run out, so it is short; but it answers in a format
# of its own, so it is longer than anything that we wait for.
TIMEOUT = 10.0


class Arguments(BaseModel):
    """What a Bento is built with: `bentoml build --arg use_case=churn --arg model=streamflow_churn:TAG`.

    `trusted_keys` are the public keys whose models it loads, unless ASOF_TRUSTED_KEYS names others.
    """

    use_case: str
    model: str
    trusted_keys: str = ""


def make_service(arguments: Arguments) -> "bentoml.Service[Any]":
    """The service of one use case with one model of the BentoML store."""
    settings = Settings()
    use_case = use_cases.load(arguments.use_case)
    app = create_app(use_case)

    class PredictionService:
        """Predictions with all that they rest on; see /docs.json."""

        stored = bentoml.models.BentoModel(arguments.model)

        def __init__(self) -> None:
            keys = trusted_keys(settings, arguments.trusted_keys)
            model = load_model(Path(self.stored.path), use_case, keys)
            lineage = _lineage(self.stored.info.metadata)
            self.predictor = app.state.predictor = Predictor(use_case, model, lineage, settings)

        @bentoml.on_startup  # type: ignore[untyped-decorator]
        async def start(self) -> None:
            self.predictor.start().add_done_callback(_freeze)

        @bentoml.on_shutdown  # type: ignore[untyped-decorator]
        async def stop(self) -> None:
            await self.predictor.close()

        async def __is_ready__(self) -> bool:
            try:
                await self.predictor.check()
            except FeatureStoreUnavailable:
                return False
            return True

    service: bentoml.Service[PredictionService] = bentoml.service(
        name=use_case.model_name, workers=settings.workers, traffic={"timeout": TIMEOUT}
    )(PredictionService)
    service.mount_asgi_app(app)
    service.add_asgi_middleware(Boundary)
    return service


def _freeze(_: object) -> None:
    """What is loaded by now lives as long as the worker: the collector need not look at it again."""
    gc.collect()
    gc.freeze()


def _lineage(metadata: dict[str, str]) -> Lineage:
    context = bentoml.server_context
    bento = f"{context.bento_name}:{context.bento_version}"
    return Lineage(metadata["name"], metadata.get("version"), metadata["run_id"], bento)
