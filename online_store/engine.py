"""A Feast compute engine for materialisation into our online store. In feature_store.yaml:

    batch_engine:
      type: online_store.engine.WideComputeEngine

Feast's local engine makes a Python object of each value, which takes minutes and gigabytes for a million users. Where
the offline store is PostgreSQL and a view takes its source's rows unchanged, this engine transfers the rows in binary
form (`relaying/relay.py`), 20,000 at a time or Feast's `materialization.online_write_batch_size`. If there are at most
that many and both stores are in one database, the rows do not leave the server (`relaying/same_server.py`). Everything
else is done by Feast's local engine, from which this one is derived.

The views of one call are materialised concurrently. A failure of one does not affect the others; a note on its error
names the view.
"""

import contextlib
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from typing import Any, Literal

from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.feature_builder import LocalFeatureBuilder
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.compute_engines.utils import create_offline_store_retrieval_job
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import PostgreSQLOfflineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from pydantic import Field

from online_store.errors import NoLayout
from online_store.relaying.relay import CHUNK_ROWS, relay
from online_store.relaying.same_server import is_few, transfer_within
from online_store.relaying.sessions import Session, Transfers
from online_store.relaying.transfer import RetrievalJob, Transfer, is_plain, transfer_of
from online_store.schema.layout import Layout, read_layout
from online_store.store import WideOnlineStore, name_of, schema_of


class WideComputeEngineConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """`backend` is that of Feast's local engine. `at_once` views are materialised concurrently, each on at most two
    connections.
    """

    type: Literal["online_store.engine.WideComputeEngine"] = "online_store.engine.WideComputeEngine"
    backend: str | None = None
    at_once: int = Field(default=2, ge=1)


class WideComputeEngine(LocalComputeEngine):  # type: ignore[misc]
    """Feast's local engine, with a direct transfer from PostgreSQL into our store."""

    @property
    def supports_batch(self) -> bool:
        """Feast passes all views of a call together."""
        return True

    @property
    def applies_materialization(self) -> bool:
        """Tasks that come in a list are recorded in Feast's registry here, while other views are still running."""
        return True

    def materialize(
        self, registry: BaseRegistry, tasks: MaterializationTask | Sequence[MaterializationTask], **kwargs: Any
    ) -> list[LocalMaterializationJob]:
        """A job for each task, in their order, with its error if it failed."""
        is_single = isinstance(tasks, MaterializationTask)
        task_list = [tasks] if is_single else tasks
        with Transfers(self.repo_config, self.repo_config.batch_engine.at_once) as transfers:
            started = [self._start(registry, task, transfers) for task in task_list]
            jobs = []
            for task, transferred in zip(task_list, started, strict=True):
                job = self._finish(registry, task, transferred, **kwargs)
                jobs.append(job if is_single else self._record(registry, task, job))
        for task, job in zip(task_list, jobs, strict=True):
            if error := job.error():
                error.add_note(f"This was the materialisation of feature view {task.feature_view.name}.")
        return jobs

    def _start(self, registry: BaseRegistry, task: MaterializationTask, transfers: Transfers) -> "Future[bool]":
        """The future says whether the task could be transferred. Feast's registry is not read in a thread."""
        future: Future[bool] = Future()
        try:
            if self._is_ours(task):
                job = self._retrieval(registry, task)
                return transfers.begin(lambda session: self._transfer(session, task, job))
            future.set_result(False)
        except Exception as error:  # any error is the job's, as in Feast's engine
            future.set_exception(error)
        return future

    def _finish(
        self, registry: BaseRegistry, task: MaterializationTask, transferred: "Future[bool]", **kwargs: Any
    ) -> LocalMaterializationJob:
        try:
            return self._job(task) if transferred.result() else self._materialize_one(registry, task, **kwargs)
        except Exception as error:
            return self._job(task, error)

    def _record(
        self, registry: BaseRegistry, task: MaterializationTask, job: LocalMaterializationJob
    ) -> LocalMaterializationJob:
        if job.error():
            return job
        try:
            registry.apply_materialization(task.feature_view, task.project, task.start_time, task.end_time)
        except Exception as error:
            return self._job(task, error)
        return job

    def _is_ours(self, task: MaterializationTask) -> bool:
        return (
            isinstance(self.online_store, WideOnlineStore)
            and isinstance(self.offline_store, PostgreSQLOfflineStore)
            and is_plain(task.feature_view)
        )

    def _transfer(self, session: Session, task: MaterializationTask, job: RetrievalJob) -> bool:
        """False where only Feast's own way gives the right rows."""
        near = session.source if session.is_one_database else session.target
        try:
            name = name_of(self.repo_config, task.feature_view)
            layout = read_layout(near, task.project, name, schema=schema_of(self.repo_config))
        except NoLayout:
            return False  # the store raises it, with what to do
        transfer = transfer_of(session.source, job, layout, task.feature_view)
        if transfer is None:
            return False
        self._report(session, task, self._chunks(session, transfer, layout))
        return True

    def _chunks(self, session: Session, transfer: Transfer, layout: Layout) -> Generator[int, None, None]:
        """The number of rows of each chunk, once it is written."""
        most = self.repo_config.materialization_config.online_write_batch_size or CHUNK_ROWS
        if session.is_one_database and is_few(session.source, transfer, most):
            written = transfer_within(session.source, transfer, layout, rows=most)
            if written is not None:
                yield written
                return
        with contextlib.closing(relay(session.source, transfer.query, session.target, layout, rows=most)) as chunks:
            for rows, _ in chunks:
                yield rows

    def _retrieval(self, registry: BaseRegistry, task: MaterializationTask) -> RetrievalJob:
        """What Feast's engine would read, as configured: each entity's newest row, or all rows."""
        columns = LocalFeatureBuilder(registry, task, backend=self._backend).get_column_info(task.feature_view)
        job = create_offline_store_retrieval_job(
            task.feature_view.source,
            columns,
            self.get_execution_context(registry, task),
            start_time=task.start_time,
            end_time=task.end_time,
        )
        return RetrievalJob(job.to_sql(), columns, unique=self.repo_config.materialization_config.pull_latest_features)

    def _report(self, session: Session, task: MaterializationTask, chunks: Generator[int, None, None]) -> None:
        with contextlib.closing(chunks), contextlib.ExitStack() as stack:
            bar = task.tqdm_builder(None) if task.tqdm_builder else None  # the total is unknown
            if bar is not None:
                stack.enter_context(contextlib.closing(bar))
            for rows in chunks:
                if bar is not None:
                    bar.update(rows)
                if session.stopped:
                    break

    def _job(self, task: MaterializationTask, error: Exception | None = None) -> LocalMaterializationJob:
        return LocalMaterializationJob(
            job_id=f"{task.feature_view.name}-{task.start_time}-{task.end_time}",
            status=MaterializationJobStatus.ERROR if error else MaterializationJobStatus.SUCCEEDED,
            error=error,
        )
