"""Runs stages as Prefect flows if there is a Prefect server, otherwise as plain functions without importing Prefect."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flows.runtime.progress import log

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Stage = Callable[..., dict[str, Any]]
Run = Callable[..., dict[str, Any]]
"""Takes a stage and its parameters; returns its result or raises its error."""


def step(name: str) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Makes a function a task, with retries, in a Prefect flow run; elsewhere it stays a plain function."""

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @wraps(function)
        def call(*args: Parameters.args, **options: Parameters.kwargs) -> Result:
            if not in_flow_run():
                return function(*args, **options)
            from flows.runtime.prefect_runs import run_task

            return run_task(name, function, *args, **options)

        return call

    return decorate


def in_flow_run() -> bool:
    """Whether a Prefect flow is running here."""
    context = sys.modules.get("prefect.context")
    return context is not None and context.FlowRunContext.get() is not None


def choose_run() -> Run:
    """Runs on the Prefect server of PREFECT_API_URL, which `make up` sets; else without one, as a warning says."""
    if os.environ.get("PREFECT_API_URL"):
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # Prefect reads it when it is imported
        from flows.runtime.prefect_runs import run_flow

        return run_flow
    log.warning("No Prefect server is set or running: this run is not recorded in Prefect (`make up` starts one).")
    return run_directly


def run_directly(stage: Stage, /, *args: Any, **options: Any) -> dict[str, Any]:
    """Calls the stage, with its parameters validated as Prefect does."""
    from pydantic import validate_call

    return validate_call(stage)(*args, **options)
