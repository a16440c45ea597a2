"""Python's garbage collector, kept away from what lives as long as the worker: a full collection takes 50 to 150 ms."""

import gc


def freeze() -> None:
    """What is loaded by now need not be looked at again, but for what became garbage since the last time."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
