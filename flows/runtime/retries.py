"""When a task is tried again: on a platform's fault, never on an error of our own or of a use case's code."""

from http import HTTPStatus
from typing import Any

from prefect.cache_policies import NO_CACHE


def is_platform_fault(_task: object, _run: object, state: Any) -> bool:
    """Whether another try may help: PostgreSQL or MLflow could not be reached, or said that the fault is theirs."""
    import psycopg
    import requests
    import sqlalchemy.exc

    fault = state.data
    if hasattr(fault, "get_http_status_code"):  # MLflow's own, which no flow imports
        status: int = fault.get_http_status_code()
        return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    databases = (psycopg.OperationalError, sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError)
    return isinstance(fault, (ConnectionError, TimeoutError, requests.ConnectionError, requests.Timeout, *databases))


RETRIES: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": 3,
    "retry_condition_fn": is_platform_fault,
    "cache_policy": NO_CACHE,
}
"""For every task; no cache, for each stage knows itself what is already done."""
