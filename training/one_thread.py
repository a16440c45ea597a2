"""A limit of one thread for BLAS and OpenMP, so that results do not depend on the number of cores."""

from contextlib import AbstractContextManager
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Limits the libraries used by scikit-learn to one thread.

    Also faster on shared cores: on two busy ones, boosting took 87 seconds with two threads and 6 with one.
    """
    # Only loaded libraries can be limited; this loads BLAS and OpenMP.
    import sklearn.ensemble  # noqa: F401
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits
