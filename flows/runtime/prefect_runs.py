"""Stages in Prefect: as flow runs, with steps that retry errors of a platform, never errors of AsOf or a use case."""

import importlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.runtime.runs import Stage

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def run_flow(stage: Stage, /, *args: Any, **options: Any) -> dict[str, Any]:
    """Runs the flow of `flows.deployments` that bears the stage's name; raises its error."""
    flow = getattr(importlib.import_module("flows.deployments"), stage.__name__)
    result: dict[str, Any] | Exception = flow(*args, **options, return_state=True).result(raise_on_failure=False)
    if isinstance(result, Exception):
        raise result
    return result


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
