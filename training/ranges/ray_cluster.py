"""The engine `ray`: each range is a task of a Ray cluster, on any of its nodes.

Nodes have the project's code and its settings as environment variables; no secret and no model travels through Ray's
object store, only ranges, what to do with them, and results. The cluster is that of RAY_ADDRESS, or one that runs on
this machine, or else one that is started for the block.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from asof.errors import ConfigurationError
from asof.settings import Settings
from training.ranges.plan import Range
from training.ranges.worker import Place, Task, Work, WorkerLost, place_of

if TYPE_CHECKING:
    from ray import ObjectRef

Result = TypeVar("Result")

TASKS_PER_CPU = 2
"""Ranges that wait at the cluster, so that no worker waits for its next one, and an autoscaler sees that there are."""


class Ray:
    """A connected cluster."""

    def __init__(self, origin: Place) -> None:
        import ray

        self.workers = TASKS_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._origin = origin
        # Ranges are tried again by `training.ranges.run`, the same way for every engine.
        self._perform: Any = ray.remote(max_retries=0, num_cpus=1)(_perform)

    def perform(self, work: Work[Result], part: Range) -> Result:
        import ray
        from ray.exceptions import RayError, RayTaskError

        reference: ObjectRef[Result] = self._perform.remote(Task(work, self._origin), part)
        try:
            result: Result = ray.get(reference)
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            raise WorkerLost(f"its node or process was lost: {type(error).__name__}") from error
        return result


def _perform(task: Task[Result], part: Range) -> Result:
    """Run by a worker, with its own settings."""
    return task(None, part)


@contextmanager
def opened_cluster(settings: Settings) -> Iterator[Ray]:
    """The engine of the cluster. Raises ConfigurationError where Ray is absent or does not answer."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ConfigurationError(
            "The engine `ray` needs Ray: run `sh local/setup.sh requirements/ray.txt`, or choose `processes`."
        ) from None
    own = not ray.is_initialized()
    try:
        if own:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="warning")
    except (ConnectionError, ValueError) as error:
        raise ConfigurationError(f"No Ray cluster answers: {error} Check RAY_ADDRESS, or unset it.") from error
    try:
        yield Ray(place_of(settings))
    finally:
        if own:
            ray.shutdown()
