"""Memory after a model was loaded: long-lived objects and freed pages."""

import ctypes
import gc


def settle() -> None:
    """To be called when a model has been loaded or dropped.

    Exempts all live objects from garbage collection, whose full runs pause a worker for 50 to 200 ms; models have no
    reference cycles, so a dropped one is freed without it. Returns free memory to the system: glibc keeps pages freed
    below one in use, which was 140 MB after loading a forest of 300 trees.
    """
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
