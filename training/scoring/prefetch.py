"""A generator -> the same items, produced ahead by a thread.

PostgreSQL's client, ONNX Runtime and Arrow release the GIL, so a chain of such threads reads, scores and writes at the
same time, with a few chunks in memory.
"""

import threading
from collections.abc import Generator
from dataclasses import dataclass
from queue import Full, Queue
from typing import TypeVar

Item = TypeVar("Item")

QUEUE_SIZE = 2
"""Items that wait for the consumer. A longer queue gains nothing: each chunk takes about the same time."""


@dataclass(frozen=True)
class _End:
    """The last item of the queue, with the error that ended the generator."""

    error: BaseException | None = None


def prefetch(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """Yields the items and raises the error of `items`.

    Closed early, it waits for the thread to close `items`, so that one thread alone uses the connection of `items`.
    """
    queue: Queue[Item | _End] = Queue(QUEUE_SIZE)
    stopped = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, queue, stopped), daemon=True)
    thread.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error:
            raise item.error
    finally:
        stopped.set()
        thread.join()


def _produce(items: Generator[Item, None, None], queue: "Queue[Item | _End]", stopped: threading.Event) -> None:
    end = _End()
    try:
        for item in items:
            if not _put(item, queue, stopped):
                items.close()
    except BaseException as error:  # raised by `prefetch`
        end = _End(error)
    _put(end, queue, stopped)


def _put(item: Item | _End, queue: "Queue[Item | _End]", stopped: threading.Event) -> bool:
    """Waits for room in the queue; False where the consumer has stopped."""
    while not stopped.is_set():
        try:
            queue.put(item, timeout=0.1)
        except Full:
            continue
        return True
    return False
