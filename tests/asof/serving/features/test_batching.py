"""Items that arrive while a batch runs form the next batch, and each gets its own result."""

import asyncio
from collections.abc import Sequence

import pytest

from asof.serving.features.batching import MAX_BATCH_SIZE, Batcher


class Doubler:
    """Doubles numbers slowly; fails for a batch with a None, and for each negative number."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    async def __call__(self, numbers: Sequence[int | None]) -> Sequence[int | Exception]:
        self.batches.append(len(numbers))
        await asyncio.sleep(0.01)
        return [ValueError(number) if number < 0 else 2 * number for number in map(_number, numbers)]


def _number(item: int | None) -> int:
    if item is None:
        raise TypeError("not a number")
    return item


def test_each_item_gets_its_own_result_in_few_calls() -> None:
    async def main() -> None:
        work = Doubler()
        batcher: Batcher[int | None, int] = Batcher(work)
        first = asyncio.create_task(batcher.submit(1000))
        await asyncio.sleep(0.001)
        results = await asyncio.gather(*(batcher.submit(number) for number in range(MAX_BATCH_SIZE + 6)))
        assert results == [2 * number for number in range(MAX_BATCH_SIZE + 6)]
        assert await first == 2000
        assert work.batches == [1, MAX_BATCH_SIZE, 6]

    asyncio.run(main())


def test_a_failing_item_fails_alone_and_a_failing_batch_fails_together() -> None:
    async def main() -> None:
        batcher: Batcher[int | None, int] = Batcher(Doubler())
        one, bad = await asyncio.gather(batcher.submit(1), batcher.submit(-1), return_exceptions=True)
        assert one == 2
        assert isinstance(bad, ValueError)
        together = await asyncio.gather(batcher.submit(1), batcher.submit(None), return_exceptions=True)
        assert [type(outcome) for outcome in together] == [TypeError, TypeError]
        assert await batcher.submit(4) == 8

    asyncio.run(main())


def test_too_few_results_are_an_error() -> None:
    async def forgetful(numbers: Sequence[int]) -> Sequence[int]:
        return numbers[1:]

    async def main() -> None:
        with pytest.raises(RuntimeError, match="0 results for 1 items"):
            await asyncio.wait_for(Batcher(forgetful).submit(1), timeout=60)

    asyncio.run(main())


def test_a_cancelled_item_does_not_affect_the_others() -> None:
    async def main() -> None:
        batcher: Batcher[int | None, int] = Batcher(Doubler())
        cancelled, other = asyncio.create_task(batcher.submit(1)), asyncio.create_task(batcher.submit(2))
        await asyncio.sleep(0.001)
        cancelled.cancel()
        assert await asyncio.wait_for(other, timeout=60) == 4
        with pytest.raises(asyncio.CancelledError):
            await cancelled

    asyncio.run(main())
