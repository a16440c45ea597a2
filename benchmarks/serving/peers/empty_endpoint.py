"""The peer: a BentoML endpoint that does nothing, with default settings."""

from typing import Any

import bentoml


@bentoml.service(name="empty_endpoint")
class EmptyEndpoint:
    @bentoml.api
    def predict(self, user_id: str) -> dict[str, Any]:
        return {"user_id": user_id}
