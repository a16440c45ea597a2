"""A deadline for a query that may hang."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """The result, without waiting for a query that hangs. Raises TimeoutError.

    asyncio.timeout would wait for the cancelled query, which takes psycopg up to ten seconds when the server hangs;
    cancelled twice, psycopg closes the connection at once.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        for _ in range(2):
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=0.05)
