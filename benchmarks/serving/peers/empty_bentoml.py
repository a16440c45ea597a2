"""Ceilings in BentoML with default settings: an empty endpoint, and an empty ASGI route mounted in a service."""

from typing import Any

import bentoml

from benchmarks.serving.peers.empty_starlette import app


@bentoml.service(name="empty_endpoint")
class EmptyEndpoint:
    @bentoml.api
    def predict(self, user_id: str) -> dict[str, Any]:
        return {"user_id": user_id}


@bentoml.asgi_app(app)
@bentoml.service
class EmptyMounted:
    pass
