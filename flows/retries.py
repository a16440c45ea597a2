"""When a task is tried again: on a platform's fault, never on an error of our own."""

from typing import Any

from prefect.cache_policies import NO_CACHE

from asof.errors import AsOfError


def is_platform_fault(_task: object, _run: object, state: Any) -> bool:
    """Whether another try may help: our own errors are final, a platform's may pass."""
    return not isinstance(state.data, AsOfError)


RETRIES: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": 3,
    "retry_condition_fn": is_platform_fault,
    "cache_policy": NO_CACHE,
}
"""For every task; no cache, for each stage knows itself what is already done."""
