"""A limit of one thread for BLAS and OpenMP: what is computed does not depend on the number of cores."""

from contextlib import AbstractContextManager
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Keeps the libraries under scikit-learn to one thread: same digits on any number of cores, and no waiting.

    On two cores that others use as well, boosting's threads spun for each other: 87 seconds for what takes one
    thread 6.
    """
    # Only what is loaded can be limited, and this loads all of it: BLAS and OpenMP.
    import sklearn.ensemble  # noqa: F401
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits
