"""A generator -> the same items, produced ahead by a thread.

PostgreSQL's client, ONNX Runtime and Arrow release the GIL, so a chain of such threads reads, scores and writes at the
same time, with a few chunks in memory.
"""

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

ITEMS_AHEAD = 3
"""More would gain nothing: each chunk takes about the same time."""


def prefetch(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """Yields the items and raises the error of `items`.

    Closed early, it waits for the thread to close `items`, so that one thread alone uses the connection of `items`.
    """
    end = object()
    with ThreadPoolExecutor(1) as thread:
        ahead = deque(thread.submit(next, items, end) for _ in range(ITEMS_AHEAD))
        try:
            while (item := ahead.popleft().result()) is not end:
                ahead.append(thread.submit(next, items, end))
                yield item  # type: ignore[misc]
        finally:
            for each in ahead:
                each.cancel()
            thread.submit(items.close)
