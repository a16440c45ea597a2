"""Dynamic batching: concurrent single requests are merged into few calls.

A lookup or a model's call takes about as long for twenty rows as for one. So one batch runs at a time, and the items
that arrive meanwhile are the next batch: no item waits for a batch to fill.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_BATCH_SIZE = 64


class Batcher(Generic[Item, Result]):
    """`work` returns for n items n results or exceptions. Only one call of it runs at a time."""

    def __init__(self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]]) -> None:
        self._work = work
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._running: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """The item's result. Raises the item's exception, or that of the whole batch."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH_SIZE], self._waiting[MAX_BATCH_SIZE:]
            outcomes = await self._outcomes([item for item, _ in batch])
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                _settle(future, outcome)

    async def _outcomes(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        try:
            outcomes = await self._work(items)
            if len(outcomes) != len(items):
                raise RuntimeError(f"{len(outcomes)} results for {len(items)} items")  # noqa: TRY301
        except Exception as error:
            return [error] * len(items)
        return outcomes


def _settle(future: "asyncio.Future[Result]", outcome: Result | Exception) -> None:
    if future.done():  # the caller was cancelled
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
