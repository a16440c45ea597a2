"""The endpoints as BentoML's schema has those of its own: its clients make their methods of them."""

from typing import Any

from asof.serving.api.routes import BATCH, OUTCOMES, PREDICT
from asof.serving.batch.description import batch_type
from asof.serving.outcomes.description import outcomes_type
from asof.use_case import UseCase


def client_routes(use_case: UseCase) -> list[dict[str, Any]]:
    """The member `routes` of /schema.json: `bentoml.SyncHTTPClient(url).predict(...)` takes a request's members."""
    payloads = {
        "predict": (PREDICT, use_case.request),
        "predict_batch": (BATCH, batch_type(use_case)),
        "post_outcomes": (OUTCOMES, outcomes_type(use_case)),
    }
    common = {"batchable": False, "output": {"type": "object"}}
    return [
        {"name": name, "route": path, "input": payload.model_json_schema(), **common}
        for name, (path, payload) in payloads.items()
    ]
