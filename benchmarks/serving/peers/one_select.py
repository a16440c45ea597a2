"""Ceiling: a Starlette route under uvicorn that returns one wide row, read by a prepared statement."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asof.settings import Settings
from benchmarks.serving.setup.world import WIDE_TABLE

CONNECTIONS = 4
QUERY = f"SELECT * FROM {WIDE_TABLE} WHERE user_id = %s"


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    options = {"autocommit": True, "prepare_threshold": 0}  # prepared from the first execution on
    pool = AsyncConnectionPool(
        Settings().conninfo(), min_size=CONNECTIONS, max_size=CONNECTIONS, kwargs=options, open=False
    )
    async with pool:
        app.state.pool = pool
        yield


async def predict(request: Request) -> JSONResponse:
    user = (await request.json())["user_id"]
    async with request.app.state.pool.connection() as connection:
        row = await (await connection.execute(QUERY, (user,))).fetchone()
    return JSONResponse(row)


app = Starlette(routes=[Route("/predict", predict, methods=["POST"])], lifespan=lifespan)
