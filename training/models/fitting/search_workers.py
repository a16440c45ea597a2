"""The fits of a search in worker processes, which start while the training set is still being read.

Each fit is by itself and in one thread, so the result is the same to the last bit as in one process. Later work of the
same training may be given to the workers, too.
"""

import signal
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from contextlib import AbstractContextManager
from functools import partial
from importlib import import_module
from pickle import PicklingError
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # a worker imports this file before anything else
    import pandas as pd

    from asof.settings import Settings
    from asof.use_case import UseCase
    from training.targets.rules import Labels

Result = TypeVar("Result")
MAX_WORKERS = 4
MAX_BYTES = 64 * 2**20
"""Of the features, which are copied to a process for each fit."""
IDLE_SECONDS = 60
LIBRARIES = ("sklearn.compose", "sklearn.ensemble", "sklearn.linear_model", "sklearn.model_selection")
"""What a worker imports before it is asked for a fit."""


def start_early(settings: "Settings", use_case: "UseCase", estimator: str | None) -> None:
    """Starts the workers if the estimator (default: the use case's) is a search; does not wait for them.

    An estimator that cannot be built is left to the training, which says why.
    """
    from asof.features.feature_store import registered_service

    chosen = use_case.estimator(estimator)
    registered = registered_service(settings, chosen.feature_service) if chosen.feature_service else None
    if registered is None:
        return
    try:
        is_search = _has_open_jobs(chosen.build(registered.contract, 0))
    except Exception:  # of the use case's own code
        return
    if is_search and _workers() > 1:
        Thread(target=_start, daemon=True).start()


def fit_search(estimator: Any, features: "pd.DataFrame", labels: "Labels") -> Any:
    """The estimator, fitted: a search that leaves `n_jobs` open in worker processes, unless the features are large.

    Without them where a worker is killed, as for want of memory, or where a part of the search cannot be sent to one.
    """
    small = features.memory_usage(deep=True).sum() <= MAX_BYTES
    if not (small and _has_open_jobs(estimator) and _workers() > 1):
        return estimator.fit(features, labels)
    try:
        with _processes():
            return estimator.set_params(n_jobs=_workers()).fit(features, labels)
    except (BrokenExecutor, PicklingError):
        return estimator.set_params(n_jobs=1).fit(features, labels)


def begin(fitted: Any, function: Callable[..., Result], /, *args: Any) -> Callable[[], Result]:
    """Begins work beside this process where `fitted` is a search that the workers have fitted; what is returned waits.

    Elsewhere the work is done when it is waited for.
    """
    here = partial(function, *args)
    if getattr(fitted, "n_jobs", None) in (None, 1):
        return here
    import joblib

    with _processes():
        results = joblib.Parallel(_workers(), return_as="generator")([joblib.delayed(function)(*args)])

    def wait() -> Result:
        try:
            result: Result = next(results)
        except (BrokenExecutor, PicklingError):
            return here()
        return result

    return wait


def _has_open_jobs(estimator: Any) -> bool:
    parameters = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
    return {"estimator", "refit", "n_jobs"} <= parameters.keys() and parameters["n_jobs"] is None


def _workers() -> int:
    import joblib

    return min(MAX_WORKERS, int(joblib.cpu_count()))


def _processes() -> AbstractContextManager[Any]:
    """In the block, what takes several jobs runs them in processes, each in one thread."""
    import joblib

    processes: AbstractContextManager[Any] = joblib.parallel_config(
        "loky", inner_max_num_threads=1, idle_worker_timeout=IDLE_SECONDS, initializer=_prepare
    )
    return processes


def _prepare() -> None:
    """In a worker: what a terminal sends to all at Ctrl-C is left to the parent, which then ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in LIBRARIES:
        import_module(name)


def _start() -> None:
    import joblib

    with _processes():
        joblib.Parallel(_workers())([joblib.delayed(abs)(0)])
