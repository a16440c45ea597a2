"""A Feast compute engine for materialising into our online store: set in feature_store.yaml as

    batch_engine:
      type: online_store.engine.WideComputeEngine

Feast's own engine, which this one is, makes a Python object of each value: for a million users that takes minutes and
gigabytes. Where the offline store is PostgreSQL and a view takes its source's rows as they are, this engine has
PostgreSQL hand the rows on in binary form (`relay.py`), 20,000 at a time, or as many as Feast's own setting
`materialization.online_write_batch_size` says. Everything else goes Feast's own way.
"""

import contextlib
from collections.abc import Generator, Iterator
from typing import Any, Literal

from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.feature_builder import LocalFeatureBuilder
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.compute_engines.utils import create_offline_store_retrieval_job
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import PostgreSQLOfflineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.infra.utils.postgres.connection_utils import _get_conn
from feast.repo_config import FeastConfigBaseModel
from psycopg import Connection, connect

from online_store.errors import LayoutMoved, NoLayout
from online_store.relaying.relay import ROWS, relay
from online_store.relaying.transfer import Job, is_plain, transfer_query
from online_store.schema.layout import read_layout
from online_store.schema.wanted import view_name
from online_store.store import WideOnlineStore, address_of, schema_of


class WideComputeEngineConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """`backend` is Feast's own engine's: what it computes with."""

    type: Literal["online_store.engine.WideComputeEngine"] = "online_store.engine.WideComputeEngine"
    backend: str | None = None


class WideComputeEngine(LocalComputeEngine):  # type: ignore[misc]
    """Feast's local engine, with a short way from PostgreSQL into our store."""

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        try:
            done = self._is_ours(task) and self._materialise(registry, task)
        except Exception as error:  # whatever it is, it is the job's, as in Feast's engine
            return self._job(task, error)
        return self._job(task) if done else super()._materialize_one(registry, task, **kwargs)

    def _is_ours(self, task: MaterializationTask) -> bool:
        return (
            isinstance(self.online_store, WideOnlineStore)
            and isinstance(self.offline_store, PostgreSQLOfflineStore)
            and is_plain(task.feature_view)
        )

    def _materialise(self, registry: BaseRegistry, task: MaterializationTask) -> bool:
        """False where only Feast's own way does it right. A table that changes on the way is begun anew, once."""
        try:
            return self._transfer(registry, task)
        except LayoutMoved:
            return self._transfer(registry, task)

    def _transfer(self, registry: BaseRegistry, task: MaterializationTask) -> bool:
        with self._source() as source, self._target() as target:
            try:
                layout = read_layout(target, task.project, self._table(task), schema=schema_of(self.repo_config))
            except NoLayout:
                return False  # the store says what is to be done
            query = transfer_query(source, self._retrieval(registry, task), layout, task.feature_view)
            if query is None:
                return False
            self._relay(task, relay(source, query, target, layout, rows=self._rows()))
        return True

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

    def _relay(self, task: MaterializationTask, chunks: Generator[tuple[int, int], None, None]) -> None:
        with contextlib.closing(chunks), contextlib.ExitStack() as stack:
            # How many rows there will be, nobody knows before they are there.
            bar = task.tqdm_builder(None) if task.tqdm_builder else None
            if bar is not None:
                stack.enter_context(contextlib.closing(bar))
            for rows, _ in chunks:
                if bar is not None:
                    bar.update(rows)

    def _table(self, task: MaterializationTask) -> str:
        versioning = self.repo_config.registry.enable_online_feature_view_versioning
        return view_name(task.feature_view, versioning=bool(versioning))

    def _rows(self) -> int:
        return self.repo_config.materialization_config.online_write_batch_size or ROWS

    @contextlib.contextmanager
    def _source(self) -> Iterator[Connection[Any]]:
        """As the offline store connects, so that what its `db_schema` sets holds here, too."""
        with contextlib.closing(_get_conn(self.repo_config.offline_store)) as connection:
            connection.autocommit = True
            connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            yield connection

    @contextlib.contextmanager
    def _target(self) -> Iterator[Connection[Any]]:
        with contextlib.closing(connect(address_of(self.repo_config).conninfo, autocommit=True)) as connection:
            yield connection

    def _job(self, task: MaterializationTask, error: Exception | None = None) -> LocalMaterializationJob:
        return LocalMaterializationJob(
            job_id=f"{task.feature_view.name}-{task.start_time}-{task.end_time}",
            status=MaterializationJobStatus.ERROR if error else MaterializationJobStatus.SUCCEEDED,
            error=error,
        )
