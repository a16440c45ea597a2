"""Items that arrive one by one -> results, by as few calls as possible.

A lookup and a model's call take about as long for one row as for twenty. So one batch runs at a time, and what arrives
meanwhile is the next batch: nobody waits for a batch to fill, and the more arrive, the cheaper each becomes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 64


class Batcher(Generic[Item, Result]):
    """`work` takes n items and gives n results, or exceptions in their place; it never runs twice at once."""

    def __init__(self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]]) -> None:
        self._work = work
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._running: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """The item's result. Raises the item's exception, or what the whole batch raised."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            outcomes = await self._outcomes([item for item, _ in batch])
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                _settle(future, outcome)

    async def _outcomes(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        try:
            outcomes = await self._work(items)
            if len(outcomes) != len(items):
                raise RuntimeError(f"{len(items)} items gave {len(outcomes)} results")  # noqa: TRY301
        except Exception as error:
            return [error] * len(items)
        return outcomes


def _settle(future: "asyncio.Future[Result]", outcome: Result | Exception) -> None:
    if future.done():  # whoever asked no longer waits
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
