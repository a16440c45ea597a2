"""The store as Feast knows it: `type: online_store.store.WideOnlineStore`, with the fields of the stock `type:
postgres`."""

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal, NoReturn

from feast import Entity, FeatureView, utils
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.repo_config import RepoConfig

from online_store.errors import NotOffered
from online_store.pool import Address
from online_store.pools import Pools
from online_store.reading.reads import Answer, Question, Reader
from online_store.schema.layout import read_layout
from online_store.schema.layouts import KnownLayouts, View
from online_store.schema.tables import drop_views, make_catalogue, rewind, settle_view, views_of
from online_store.schema.wanted import view_name, wanted_view
from online_store.writing.rows import Written
from online_store.writing.writes import Writer


class WideOnlineStoreConfig(PostgreSQLConfig):  # type: ignore[misc]
    """`db_schema` holds the tables; `max_conn` bounds a process's connections, and those of each event loop in it.

    Connections are made when they are needed and kept, so `min_conn` and `conn_type` say nothing here.
    """

    type: Literal["online_store.store.WideOnlineStore"] = "online_store.store.WideOnlineStore"


class WideOnlineStore(OnlineStore):  # type: ignore[misc]
    """One wide typed table for each feature view."""

    _versioned_read_supported = True

    def __init__(self) -> None:
        self._pools, self._layouts = Pools(), KnownLayouts()
        self._reader, self._writer = Reader(self._pools, self._layouts), Writer(self._pools, self._layouts)

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        return SupportedAsyncMethods(read=True, write=True)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],  # noqa: ARG002 - Feast's interface
        entities_to_keep: Sequence[Entity],
        partial: bool,  # noqa: ARG002 - views that are in neither list are left alone, so it makes no difference
    ) -> None:
        """Makes, changes and drops tables as the views say. Raises TooManyColumns, WideStoreError."""
        schema, versioning = schema_of(config), _versioning(config)
        wanted = [
            wanted_view(config.project, view_name(view, versioning=versioning), view=view, entities=entities_to_keep)
            for view in tables_to_keep
        ]
        with self._pools.for_threads(address_of(config)).connection() as connection:
            make_catalogue(connection, schema)
            there = views_of(connection, schema, config.project)
            kept = {each.view for each in wanted}
            gone = [name for view in tables_to_delete for name in there if _is_of(name, view.name, versioning)]
            gone = [name for name in gone if name not in kept]  # a view may be named as another one's version
            drop_views(connection, schema, config.project, gone)
            for each in wanted:
                settle_view(connection, schema, each)
        for name in (*gone, *(each.view for each in wanted)):
            self._layouts.forget((schema, config.project, name))

    def teardown(
        self,
        config: RepoConfig,
        tables: Sequence[FeatureView],  # noqa: ARG002 - Feast names some kinds of views only; a project goes as a whole
        entities: Sequence[Entity],  # noqa: ARG002
    ) -> None:
        """Drops every table of the project, and closes the connections for threads."""
        schema = schema_of(config)
        with self._pools.for_threads(address_of(config)).connection() as connection:
            gone = views_of(connection, schema, config.project)
            drop_views(connection, schema, config.project, gone)
        for name in gone:
            self._layouts.forget((schema, config.project, name))
        self.disconnect()

    def rewind(self, config: RepoConfig, table: FeatureView, moment: datetime) -> int:
        """For a view that is to be filled anew as of a moment: what it holds gives way; gives how many rows went.

        Not of Feast's interface: no write replaces a newer value by an older one. Raises NoLayout.
        """
        schema, project, view = _view(config, table)
        with self._pools.for_threads(address_of(config)).connection() as connection:
            return rewind(connection, read_layout(connection, project, view, schema=schema), moment)

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Written],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Raises UnfitValue, NoLayout, and psycopg.Error where the server is away; chunks before that are written."""
        self._writer.write(address_of(config), _view(config, table), rows=data, progress=progress)

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Written],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """In a thread: most of it is work, not waiting. Once begun, a chunk is finished, whoever is cancelled."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Answer]:
        """For each key the row's moment and its values; absent features are left out. Raises NoLayout."""
        question = Question(_view(config, table), entity_keys, requested_features or None)
        return self._reader.read(address_of(config), [question])[0]

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Answer]:
        """The same, without blocking the event loop."""
        question = Question(_view(config, table), entity_keys, requested_features or None)
        return (await self._reader.read_async(address_of(config), [question]))[0]

    def _read_features_per_fv(
        self,
        config: RepoConfig,
        grouped_refs: list[Any],
        join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str],
        *response: Any,
    ) -> None:
        """All views of a request in one round trip."""
        asked = _questions(config, grouped_refs, (join_key_values, entity_name_to_join_key_map))
        answers = self._reader.read(address_of(config), [question for question, *_ in asked])
        _fill(grouped_refs, asked, answers=answers, response=response)

    async def _read_features_per_fv_async(
        self,
        config: RepoConfig,
        grouped_refs: list[Any],
        join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str],
        *response: Any,
    ) -> None:
        """The same, without blocking the event loop."""
        asked = _questions(config, grouped_refs, (join_key_values, entity_name_to_join_key_map))
        answers = await self._reader.read_async(address_of(config), [question for question, *_ in asked])
        _fill(grouped_refs, asked, answers=answers, response=response)

    def retrieve_online_documents(self, *_: Any, **__: Any) -> NoReturn:
        """Raises NotOffered."""
        raise NotOffered("This store looks up entities by their keys: for vector search use Feast's `type: postgres`.")

    retrieve_online_documents_v2 = retrieve_online_documents

    def disconnect(self) -> None:
        """Closes the connections for threads; the next use opens new ones."""
        self._pools.close()

    async def close(self) -> None:
        """Closes those of the running event loop as well."""
        self._pools.close_loop()
        self.disconnect()


def address_of(config: RepoConfig) -> Address:
    """Where the store is. Statements name their schema, so no search path goes along."""
    store = config.online_store
    parts = {
        "host": store.host,
        "port": store.port,
        "dbname": store.database,
        "user": store.user,
        "password": store.password,
        "sslmode": store.sslmode,
        "sslkey": store.sslkey_path,
        "sslcert": store.sslcert_path,
        "sslrootcert": store.sslrootcert_path,
        "keepalives_idle": store.keepalives_idle,
    }
    given = tuple((name, part) for name, part in parts.items() if part is not None)
    return Address(given, most=store.max_conn)


def schema_of(config: RepoConfig) -> str:
    """As the stock store has it: without `db_schema`, a schema of the user's name."""
    return str(config.online_store.db_schema or config.online_store.user).strip()


def _versioning(config: RepoConfig) -> bool:
    return bool(config.registry.enable_online_feature_view_versioning)


def _view(config: RepoConfig, table: FeatureView) -> View:
    return schema_of(config), config.project, view_name(table, versioning=_versioning(config))


def _is_of(name: str, view: str, versioning: bool) -> bool:
    """Whether the table of that name is the view's, or that of one of its versions."""
    return name == view or (versioning and re.fullmatch(re.escape(view) + r"_v\d+", name) is not None)


def _questions(
    config: RepoConfig, grouped_refs: list[Any], entities: tuple[dict[str, Any], dict[str, str]]
) -> list[tuple[Question, Any, int]]:
    """For each view the question, at which places of the request each entity stands, and how many places there are."""
    asked: list[tuple[Question, Any, int]] = []
    known: dict[Any, tuple[list[EntityKey], Any, int]] = {}
    for table, requested in grouped_refs:
        alike = (*table.entities, *sorted((table.projection.join_key_map or {}).items()))
        if alike not in known:
            unique, places, length = utils._get_unique_entities(table, *entities)
            known[alike] = utils._get_entity_key_protos(unique), places, length
        keys, places, length = known[alike]
        asked.append((Question(_view(config, table), keys, requested), places, length))
    return asked


def _fill(
    grouped_refs: list[Any],
    asked: list[tuple[Question, Any, int]],
    *,
    answers: list[list[Answer]],
    response: tuple[Any, ...],
) -> None:
    """Feast's own function puts the answers into the response."""
    proto, full_feature_names, with_versions = response
    for (table, requested), (_, places, length), rows in zip(grouped_refs, asked, answers, strict=True):
        utils._populate_response_from_feature_data(
            requested, rows, places, proto, full_feature_names, table, length, with_versions
        )
