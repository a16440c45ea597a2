"""Promotions and rollbacks in processes that are killed: forked from a warm parent, with connections of their own.

The parent (multiprocessing's fork server) has imported this module, and with it every platform, and has connected to
nothing. A child sends each step on a pipe before it takes it, so that a test that kills it knows where.
"""

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from mlflow import MlflowClient

from asof.settings import Settings
from asof.use_cases import load
from tests.kits.models.promotion import always
from tests.kits.models.training import small_use_case
from training.release.promotion import succession
from training.release.promotion.promote import promote, rollback
from training.release.registry.versions import model_version

WARM = multiprocessing.get_context("forkserver")
PLATFORMS = ("feast.repo_operations", "mlflow.pyfunc", "mlflow.sklearn", "mlflow.store.model_registry.sqlalchemy_store")
WARM.set_forkserver_preload([__name__, *PLATFORMS])

STEPS = (
    (MlflowClient, "transition_model_version_stage", "stage"),
    (MlflowClient, "set_model_version_tag", "tag"),
    (MlflowClient, "delete_model_version_tag", "tag"),
    (MlflowClient, "set_registered_model_alias", "alias"),
    (MlflowClient, "delete_registered_model_alias", "alias"),
    (MlflowClient, "set_registered_model_tag", "done"),
    (succession, "append", "append"),
)
"""Every call that changes MLflow or the history, with its short name."""


@dataclass(frozen=True)
class Act:
    """One promotion of a version, past the gate, or (None) one rollback, of the small use case under a name."""

    name: str
    version: str | None = None
    to: str | None = None

    def __call__(self, settings: Settings) -> None:
        use_case = small_use_case(self.name)
        if self.version:
            promote(settings, model_version(settings, use_case, self.version), judge=always)
        else:
            rollback(settings, use_case, to=self.to, reason="complaints")


@dataclass(frozen=True)
class Bring:
    """A version of churn's registered model into Production, past the gate."""

    version: str

    def __call__(self, settings: Settings) -> None:
        promote(settings, model_version(settings, load("churn"), self.version), judge=always)


@dataclass(frozen=True)
class Kill:
    """Before or after which step, counted from 0, a process kills itself."""

    at: int
    after: bool


def perform(settings: Settings, acts: Sequence[Act | Bring], pipe: Connection, kill: Kill | None) -> None:
    """Run by a child: all acts one after the other, each of their steps reported."""
    watch(pipe, kill, STEPS)
    for act in acts:
        pipe.send("begin")
        act(settings)
    pipe.send("end")


def fail_at_the_alias(settings: Settings, acts: Sequence[Act | Bring], pipe: Connection, kill: Kill | None) -> None:
    """The same where MLflow fails to move an alias, so that each act is undone."""

    def away(*_args: Any, **_kwargs: Any) -> None:
        raise ConnectionError("the registry went away")

    MlflowClient.set_registered_model_alias = away
    watch(pipe, kill, STEPS)
    for act in acts:
        with suppress(ConnectionError):
            act(settings)


@contextmanager
def begun(
    settings: Settings, acts: Any, kill: Kill | None = None, work: Callable[..., None] = perform
) -> Iterator[tuple[BaseProcess, Connection]]:
    """A child process that performs the acts, and the pipe with its steps; it is killed when the block ends."""
    ours, theirs = WARM.Pipe(duplex=False)
    child = WARM.Process(target=work, args=(settings, acts, theirs, kill))
    child.start()
    theirs.close()
    try:
        yield child, ours
    finally:
        child.kill()
        child.join()
        ours.close()


def steps_until_exit(pipe: Connection) -> list[str]:
    """Every step that a child reported before it ended."""
    steps = []
    try:
        while True:
            steps.append(pipe.recv())
    except EOFError:
        return steps


def watch(pipe: Connection, kill: Kill | None, steps: Iterable[tuple[Any, str, str]]) -> None:
    """Sends each call of the steps (owner, attribute, name) on the pipe, and ends the process at one of them."""
    count = itertools.count()

    def watched(step: Callable[..., Any], name: str) -> Callable[..., Any]:
        def taken(*args: Any, **kwargs: Any) -> Any:
            number = next(count)
            pipe.send(name)
            if kill == Kill(number, after=False):
                os.kill(os.getpid(), signal.SIGKILL)
            result = step(*args, **kwargs)
            if kill == Kill(number, after=True):
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return taken

    for owner, attribute, name in steps:
        setattr(owner, attribute, watched(getattr(owner, attribute), name))
