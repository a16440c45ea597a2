"""A platform's fault is tried again, an error of our own is final: with real Prefect runs."""

import pytest
from prefect import flow, task
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from asof.errors import DataError
from flows.retries import RETRIES


@pytest.mark.parametrize(("fault", "tries"), [(ConnectionError("away"), 3), (DataError("users.csv is empty"), 1)])
def test_only_a_platforms_fault_is_tried_again(prefect_api: str, fault: Exception, tries: int) -> None:
    calls = []

    @task(**RETRIES | {"retry_delay_seconds": 0})
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
