"""A Feast compute engine for materialising into our online store: set in feature_store.yaml as

    batch_engine:
      type: online_store.engine.WideComputeEngine

Feast's own engine, which this one is, makes a Python object of each value: for a million users that takes minutes and
gigabytes. Where the offline store is PostgreSQL and a view takes its source's rows as they are, this engine has
PostgreSQL hand the rows on in binary form (`relay.py`), 20,000 at a time, or as many as Feast's own setting
`materialization.online_write_batch_size` says; no more than that, and both stores in one database: they do not even
leave the server (`within.py`). Everything else goes Feast's own way.

Views that are materialised by one call go side by side. One that fails fails alone; its error has a note that names it.
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
from online_store.relaying.relay import ROWS, relay
from online_store.relaying.sessions import Session, Transfers
from online_store.relaying.transfer import Job, Transfer, is_plain, transfer_of
from online_store.relaying.within import bring_within, is_few
from online_store.schema.layout import Layout, read_layout
from online_store.schema.wanted import view_name
from online_store.store import WideOnlineStore, schema_of


class WideComputeEngineConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """`backend` is Feast's own engine's: what it computes with. `at_once`: so many views go side by side, each on two
    connections at most.
    """

    type: Literal["online_store.engine.WideComputeEngine"] = "online_store.engine.WideComputeEngine"
    backend: str | None = None
    at_once: int = Field(default=2, ge=1)


class WideComputeEngine(LocalComputeEngine):  # type: ignore[misc]
    """Feast's local engine, with a short way from PostgreSQL into our store."""

    @property
    def supports_batch(self) -> bool:
        """Feast hands over all views of a call at once."""
        return True

    @property
    def applies_materialization(self) -> bool:
        """What Feast hands over in a list is noted here, in its registry, while other views are still on their way."""
        return True

    def materialize(
        self, registry: BaseRegistry, tasks: MaterializationTask | Sequence[MaterializationTask], **kwargs: Any
    ) -> list[LocalMaterializationJob]:
        """A job for each task, in their order; an error is its job's."""
        alone = isinstance(tasks, MaterializationTask)
        given = [tasks] if alone else tasks
        with Transfers(self.repo_config, self.repo_config.batch_engine.at_once) as transfers:
            begun = [self._begin(registry, task, transfers) for task in given]
            jobs = []
            for task, each in zip(given, begun, strict=True):
                job = self._ended(registry, task, each, **kwargs)
                jobs.append(job if alone else self._noted(registry, task, job))
        for task, job in zip(given, jobs, strict=True):
            if error := job.error():
                error.add_note(f"This was the materialisation of feature view {task.feature_view.name}.")
        return jobs

    def _begin(self, registry: BaseRegistry, task: MaterializationTask, transfers: Transfers) -> "Future[bool]":
        """What tells whether our way was the right one. Feast's registry is asked here, not in a thread."""
        begun: Future[bool] = Future()
        try:
            if self._is_ours(task):
                job = self._retrieval(registry, task)
                return transfers.begin(lambda session: self._transfer(session, task, job))
            begun.set_result(False)
        except Exception as error:  # whatever it is, it is the job's, as in Feast's engine
            begun.set_exception(error)
        return begun

    def _ended(
        self, registry: BaseRegistry, task: MaterializationTask, begun: "Future[bool]", **kwargs: Any
    ) -> LocalMaterializationJob:
        try:
            return self._job(task) if begun.result() else self._materialize_one(registry, task, **kwargs)
        except Exception as error:
            return self._job(task, error)

    def _noted(
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

    def _transfer(self, session: Session, task: MaterializationTask, job: Job) -> bool:
        """False where only Feast's own way does it right."""
        near = session.source if session.is_one_database else session.target
        try:
            layout = read_layout(near, task.project, self._table(task), schema=schema_of(self.repo_config))
        except NoLayout:
            return False  # the store says what is to be done
        transfer = transfer_of(session.source, job, layout, task.feature_view)
        if transfer is None:
            return False
        self._tell(session, task, self._brought(session, transfer, layout))
        return True

    def _brought(self, session: Session, transfer: Transfer, layout: Layout) -> Generator[int, None, None]:
        """Each chunk's rows."""
        if session.is_one_database and is_few(session.source, transfer, self._rows()):
            brought = bring_within(session.source, transfer, layout, rows=self._rows())
            if brought is not None:
                yield brought
                return
        with contextlib.closing(
            relay(session.source, transfer.query, session.target, layout, rows=self._rows())
        ) as chunks:
            for rows, _ in chunks:
                yield rows

    def _retrieval(self, registry: BaseRegistry, task: MaterializationTask) -> Job:
        """What Feast's engine would read, as its configuration says: each entity's newest row, or all of them."""
        columns = LocalFeatureBuilder(registry, task, backend=self._backend).get_column_info(task.feature_view)
        job = create_offline_store_retrieval_job(
            task.feature_view.source,
            columns,
            self.get_execution_context(registry, task),
            start_time=task.start_time,
            end_time=task.end_time,
        )
        return Job(job.to_sql(), columns, unique=self.repo_config.materialization_config.pull_latest_features)

    def _tell(self, session: Session, task: MaterializationTask, chunks: Generator[int, None, None]) -> None:
        with contextlib.closing(chunks), contextlib.ExitStack() as stack:
            # How many rows there will be, nobody knows before they are there.
            bar = task.tqdm_builder(None) if task.tqdm_builder else None
            if bar is not None:
                stack.enter_context(contextlib.closing(bar))
            for rows in chunks:
                if bar is not None:
                    bar.update(rows)
                if session.stopped:
                    break

    def _table(self, task: MaterializationTask) -> str:
        versioning = self.repo_config.registry.enable_online_feature_view_versioning
        return view_name(task.feature_view, versioning=bool(versioning))

    def _rows(self) -> int:
        return self.repo_config.materialization_config.online_write_batch_size or ROWS

    def _job(self, task: MaterializationTask, error: Exception | None = None) -> LocalMaterializationJob:
        return LocalMaterializationJob(
            job_id=f"{task.feature_view.name}-{task.start_time}-{task.end_time}",
            status=MaterializationJobStatus.ERROR if error else MaterializationJobStatus.SUCCEEDED,
            error=error,
        )
