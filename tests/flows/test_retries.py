"""A platform's fault is tried again, an error of our own or of a use case's code is final: with real Prefect runs."""

import psycopg
import pytest
import requests
import sqlalchemy.exc
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_EXHAUSTED, TEMPORARILY_UNAVAILABLE
from prefect import flow, task
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from asof.errors import DataError, ModelError
from flows.runtime.prefect_tasks import TASK_OPTIONS


@pytest.mark.parametrize(
    ("fault", "tries"),
    [
        (ConnectionError("away"), 3),
        (requests.ConnectionError("refused"), 3),
        (psycopg.errors.AdminShutdown("terminating connection"), 3),
        (sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("closed")), 3),
        (MlflowException("away", TEMPORARILY_UNAVAILABLE), 3),
        (MlflowException("API request failed"), 3),
        (MlflowException("slower", RESOURCE_EXHAUSTED), 3),
        (MlflowException("no such step", INVALID_PARAMETER_VALUE), 1),
        (DataError("users.csv is empty"), 1),
        (ModelError("Lasso is no classifier"), 1),
        (ValueError("could not convert string to float"), 1),
        (AttributeError("'Lasso' object has no attribute 'predict_proba'"), 1),
        (ModuleNotFoundError("No module named 'xgboost'"), 1),
        (FileNotFoundError("labels.csv"), 1),
        (psycopg.errors.UndefinedColumn("no such column"), 1),
    ],
)
def test_only_a_platforms_fault_is_tried_again(prefect_api: str, fault: Exception, tries: int) -> None:
    calls = []

    @task(**TASK_OPTIONS | {"retry_delay_seconds": 0})
    def stage() -> None:
        calls.append(fault)
        raise fault

    @flow
    def run() -> None:
        stage()

    # The lines of this process would still be on their way when the server ends.
    own = {PREFECT_API_URL: prefect_api, PREFECT_LOGGING_TO_API_ENABLED: False}
    with temporary_settings(own), pytest.raises(type(fault)):
        run()
    assert len(calls) == tries
