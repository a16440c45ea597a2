"""Settings of a flow or command, with the servers that it needs; task options of every flow."""

import os
from http import HTTPStatus
from typing import Any

from prefect.cache_policies import NO_CACHE

from asof.settings import Settings, export
from local.embedded_postgres import postgres
from local.stack import stack
from training.tracking.address import check_tracking_address


def default_use_case() -> str:
    """The use case if a command or flow names none."""
    return Settings().use_case


def settings_without_database() -> Settings:
    """Settings, with the platforms' folders exported to the environment; starts no server."""
    settings = Settings()
    os.environ.update(settings.platform_folders())
    return settings


def settings_with_database() -> Settings:
    """Settings with a PostgreSQL that answers; the embedded one is started if ASOF_POSTGRES_URL is unset.

    Exports PREFECT_API_URL if `make up` runs a Prefect server; otherwise flows start a temporary one.
    """
    settings = postgres.ensure(Settings())
    export(settings)
    for name, value in stack.prefect_address(settings).items():
        os.environ.setdefault(name, value)
    return settings


def settings_with_tracking() -> Settings:
    """Settings with a PostgreSQL and an MLflow that answer.

    Raises ConfigurationError if MLflow does not answer at its address, before Prefect starts or work begins.
    """
    settings = settings_with_database()
    check_tracking_address(settings.tracking_uri)
    return settings


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
"""Options of every task. No cache, as each stage itself skips work that is already done."""
