"""A ceiling: an ASGI route that does nothing but answer, mounted in a BentoML service with default settings."""

import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def predict(request: Request) -> JSONResponse:
    return JSONResponse({"user_id": (await request.json())["user_id"]})


@bentoml.asgi_app(Starlette(routes=[Route("/predict", predict, methods=["POST"])]))
@bentoml.service
class EmptyMounted:
    """Nothing of its own."""
