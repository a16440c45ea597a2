"""Python's garbage collector, kept away from what lives long: a full collection halts the worker for 50 to 200 ms."""

import gc


def freeze() -> None:
    """What is there by now need not be looked at again.

    A model that goes needs no collector: what skops loads holds no cycles, so it goes with its last reference.
    """
    gc.collect()
    gc.freeze()
