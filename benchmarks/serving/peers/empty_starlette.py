"""Ceiling: an empty Starlette route under uvicorn."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def predict(request: Request) -> JSONResponse:
    return JSONResponse({"user_id": (await request.json())["user_id"]})


app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
