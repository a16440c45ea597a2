"""Tasks of a Prefect flow run, which retry errors of a platform, never errors of AsOf or of a use case."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def run_task(
    name: str, function: Callable[Parameters, Result], *args: Parameters.args, **options: Parameters.kwargs
) -> Result:
    """Runs the function as a task of the current flow run."""
    return task(name=name, **TASK_OPTIONS)(function)(*args, **options)


def is_transient(_task: object, _run: object, state: Any) -> bool:
    """Whether to retry a task: PostgreSQL or MLflow could not be reached, or reported an error of its own."""
    import psycopg
    import requests
    import sqlalchemy.exc

    fault = state.data
    if hasattr(fault, "get_http_status_code"):  # MlflowException, without importing mlflow
        status: int = fault.get_http_status_code()
        return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    databases = (psycopg.OperationalError, sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError)
    return isinstance(fault, (ConnectionError, TimeoutError, requests.ConnectionError, requests.Timeout, *databases))


TASK_OPTIONS: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": 3,
    "retry_condition_fn": is_transient,
    "cache_policy": NO_CACHE,
}
"""No cache, as each stage itself skips work that is already done."""
