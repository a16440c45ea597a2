"""A generator -> the same items, made by a thread of their own while the one before is worked on.

PostgreSQL's answers, ONNX Runtime and Arrow work outside of Python's lock: a chain of such threads reads, scores and
writes at once, and holds no more than a few chunks.
"""

import threading
from collections.abc import Generator
from dataclasses import dataclass
from queue import Full, Queue
from typing import TypeVar

Item = TypeVar("Item")

DEPTH = 2
"""Items that may wait. More would smooth nothing: each stage takes about as long for every chunk."""


@dataclass(frozen=True)
class _Ended:
    """The thread has ended, by itself or by an error."""

    error: BaseException | None = None


def ahead(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """Raises here what `items` raises there. Closed early, it has `items` closed by their thread and waits for that:
    a connection that they use is never used by two threads.
    """
    made: Queue[Item | _Ended] = Queue(DEPTH)
    stopped = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, stopped), daemon=True)
    thread.start()
    try:
        while not isinstance(item := made.get(), _Ended):
            yield item
        if item.error:
            raise item.error
    finally:
        stopped.set()
        thread.join()


def _make(items: Generator[Item, None, None], made: "Queue[Item | _Ended]", stopped: threading.Event) -> None:
    ended = _Ended()
    try:
        for item in items:
            if not _handed_on(item, made, stopped):
                items.close()
    except BaseException as error:  # whatever it is, it is raised where the items are taken
        ended = _Ended(error)
    _handed_on(ended, made, stopped)


def _handed_on(item: Item | _Ended, made: "Queue[Item | _Ended]", stopped: threading.Event) -> bool:
    """False where nobody takes items any more."""
    while not stopped.is_set():
        try:
            made.put(item, timeout=0.1)
        except Full:
            continue
        return True
    return False
