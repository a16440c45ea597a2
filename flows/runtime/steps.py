"""Steps of a stage: tasks in a Prefect flow run, plain functions elsewhere, without importing Prefect."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def step(name: str) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Makes a function a task, with retries, in a Prefect flow run; elsewhere it stays a plain function."""

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @wraps(function)
        def call(*args: Parameters.args, **options: Parameters.kwargs) -> Result:
            if not in_flow_run():
                return function(*args, **options)
            from flows.runtime.prefect_tasks import run_task

            return run_task(name, function, *args, **options)

        return call

    return decorate


def in_flow_run() -> bool:
    """Whether a Prefect flow is running here."""
    context = sys.modules.get("prefect.context")
    return context is not None and context.FlowRunContext.get() is not None
