"""The service's application of a registered version in this process, without BentoML."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from asof.inference.served_model import load_verified
from asof.model_facts import Lineage
from asof.serving.api.routes import create_app
from asof.serving.http.boundary import Boundary
from asof.serving.logs.access_log import AccessLog
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import Predictor
from asof.serving.prediction.worker import Worker
from asof.settings import Settings
from asof.use_case import UseCase
from training.release.registry.versions import ModelVersion, verified_version


@asynccontextmanager
async def application(settings: Settings, use_case: UseCase, version: ModelVersion) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it; what it keeps is in the spool of the settings when the block ends."""
    with verified_version(settings, version) as verified:
        model = load_verified(verified, use_case)
    worker = Worker(settings.model_copy(update={"lookup_timeout": 30.0}), use_case, bento="none:1")
    live = LiveModel(worker, Predictor(model, Lineage(version.name, version.version, version.run_id, "none:1"), worker))
    app = create_app(use_case)
    app.state.live = live
    await live.current.start()
    transport = httpx.ASGITransport(Boundary(app, access_log=AccessLog(on=False)), raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            yield client
    finally:
        await live.close()
        worker.ledger.close()
