"""Runs stages as Prefect flows if there is a Prefect server, otherwise as plain functions without importing Prefect."""

import os
from collections.abc import Callable
from typing import Any

from flows.runtime.progress import log

Stage = Callable[..., dict[str, Any]]
Run = Callable[..., dict[str, Any]]
"""Takes a stage and its parameters; returns its result or raises its error."""


def choose_run() -> Run:
    """Runs on the Prefect server of PREFECT_API_URL, which `make up` sets; else without one, as a warning says."""
    if os.environ.get("PREFECT_API_URL"):
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # Prefect reads it when it is imported
        return run_flow
    log.warning("No Prefect server is set or running: this run is not recorded in Prefect (`make up` starts one).")
    return run_directly


def run_directly(stage: Stage, /, *args: Any, **options: Any) -> dict[str, Any]:
    """Calls the stage, with its parameters validated as Prefect does."""
    from pydantic import validate_call

    return validate_call(stage)(*args, **options)


def run_flow(stage: Stage, /, *args: Any, **options: Any) -> dict[str, Any]:
    """Runs the flow of `flows.deployments` that bears the stage's name; raises its error."""
    from flows import deployments

    flow = getattr(deployments, stage.__name__)
    result: dict[str, Any] | Exception = flow(*args, **options, return_state=True).result(raise_on_failure=False)
    if isinstance(result, Exception):
        raise result
    return result
