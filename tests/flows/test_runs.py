"""Where a stage runs: on the Prefect server of PREFECT_API_URL, otherwise in the process, without Prefect."""

import logging
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from asof.errors import DataError
from asof.settings import PROJECT, Moment
from flows import deployments
from flows.runtime.steps import in_flow_run, step
from flows.terminal.runs import choose_run, run_directly, run_flow

WITHOUT_PREFECT = """
import sys
from flows.runtime.artifacts import publish_table
from flows.runtime.steps import step
from flows.terminal.runs import choose_run

@step("double")
def double(number: int) -> int:
    return 2 * number

def stage(number: int) -> dict:
    publish_table("numbers", [{"number": number}], "Numbers")
    return {"doubled": double(number)}

print(choose_run()(stage, 21), "prefect" in sys.modules)
"""


@step("where")
def where() -> bool:
    return in_flow_run()


def bundle(as_of: Moment) -> dict[str, Any]:
    """Bears the name of a deployed flow."""
    return {"in Prefect": where(), "as of": as_of}


def refused(as_of: Moment) -> dict[str, Any]:
    raise DataError(f"{as_of.date()} is too early.")


def test_a_stage_runs_without_prefect_where_no_server_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    done = subprocess.run([sys.executable, "-c", WITHOUT_PREFECT], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout == "{'doubled': 42} False\n", done.stderr
    assert done.stderr.count("No Prefect server is set or running") == 1


def test_the_choice_follows_the_variable(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(logging.getLogger("asof.progress"), "propagate", True)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    assert choose_run() is run_flow
    assert not caplog.messages
    monkeypatch.delenv("PREFECT_API_URL")
    assert choose_run() is run_directly
    assert [each.startswith("No Prefect server is set or running") for each in dict.fromkeys(caplog.messages)] == [True]


def test_a_moment_without_a_zone_is_utc_in_both(prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "bundle", deployments.flow(name="bundle")(bundle))
    moment = datetime(2024, 1, 31)  # noqa: DTZ001
    expected = datetime(2024, 1, 31, tzinfo=UTC)
    assert run_directly(bundle, moment) == {"in Prefect": False, "as of": expected}
    with temporary_settings({PREFECT_API_URL: prefect_api, PREFECT_LOGGING_TO_API_ENABLED: False}):
        assert run_flow(bundle, moment) == {"in Prefect": True, "as of": expected}


def test_an_error_of_a_stage_is_raised_in_both(prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "refused", deployments.flow(name="refused")(refused), raising=False)
    moment = datetime(2024, 1, 31, tzinfo=UTC)
    with pytest.raises(DataError, match="2024-01-31 is too early"):
        run_directly(refused, moment)
    own = {PREFECT_API_URL: prefect_api, PREFECT_LOGGING_TO_API_ENABLED: False}
    with temporary_settings(own), pytest.raises(DataError, match="2024-01-31 is too early"):
        run_flow(refused, moment)
