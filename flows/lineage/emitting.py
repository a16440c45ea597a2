"""Makes a stage emit START, and COMPLETE, FAIL or ABORT, if ASOF_OPENLINEAGE_URL is set."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from asof.errors import AsOfError
from asof.ledger.request_id import new_request_id
from asof.settings import Settings
from asof.use_cases import default_name, load
from flows.lineage.datasets import Done
from flows.lineage.events import Datasets, Event, EventType, Run
from flows.lineage.sink import send
from flows.runtime.progress import log

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result", bound=Mapping[str, Any])
Describe = Callable[[Done], Datasets]
"""From what a stage has done to what it read and wrote."""


def emits_lineage(
    stage: str, describe: Describe, *, from_store: bool = False
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """For a stage with the parameter `use_case`; `from_store` as `default_name` has it."""

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        signature = inspect.signature(function)

        @wraps(function)
        def call(*args: Parameters.args, **options: Parameters.kwargs) -> Result:
            settings = Settings()
            if settings.openlineage_url is None:
                return function(*args, **options)
            given = signature.bind(*args, **options).arguments
            run = Run(_run_id(), stage, given.get("use_case") or _default(from_store))

            with _observed(settings, run) as finished:
                result = function(*args, **options)
                finished.append(lambda: _datasets(run, describe, result, given))
            return result

        return call

    return decorate


@contextmanager
def _observed(settings: Settings, run: Run) -> Iterator[list[Callable[[], Datasets]]]:
    """Sends the events of a block, which appends how to tell its datasets."""
    send(settings, Event(EventType.START, run, datetime.now(UTC)))
    finished: list[Callable[[], Datasets]] = []
    try:
        yield finished
    except BaseException as error:
        kind = EventType.FAIL if isinstance(error, Exception) else EventType.ABORT
        # The message of a platform's error may have an address with its password.
        text = str(error) if isinstance(error, AsOfError) else type(error).__name__
        send(settings, Event(kind, run, datetime.now(UTC), error=text))
        raise
    send(settings, Event(EventType.COMPLETE, run, datetime.now(UTC), finished[0]()))


def _datasets(run: Run, describe: Describe, result: Mapping[str, Any], arguments: Mapping[str, Any]) -> Datasets:
    """None where they cannot be told: the work is done, and must not fail for it."""
    from flows.runtime.environment import settings_with_database

    try:
        return describe(Done(settings_with_database(), load(run.use_case), result, arguments))
    except Exception as error:
        log.warning("The datasets of this run are not known: %s.", type(error).__name__)
        return Datasets()


def _run_id() -> UUID:
    """That of Prefect's flow run, or a new one."""
    context = sys.modules.get("prefect.context")
    current = context.FlowRunContext.get() if context else None
    flow_run = getattr(current, "flow_run", None)
    return flow_run.id if flow_run else UUID(new_request_id())


def _default(from_store: bool) -> str:
    with suppress(AsOfError):  # which the stage itself will raise
        return default_name(from_store=from_store)
    return "unknown"
