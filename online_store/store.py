"""Feast's interface to the store: `type: online_store.store.WideOnlineStore`, with the fields of `type: postgres`."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, NamedTuple, NoReturn

from feast import Entity, FeatureView, utils
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.online_stores.postgres_online_store.postgres import PostgreSQLOnlineStoreConfig
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.repo_config import RepoConfig
from pydantic import field_validator

from online_store.errors import Unsupported
from online_store.pool import Address, Pools
from online_store.reading.reads import FeatureRow, Reader, ViewRequest
from online_store.schema.feast_view import view_schema
from online_store.schema.layout import LayoutCache, ViewKey, read_layout
from online_store.schema.tables import apply_view, create_catalogue, drop_catalogue, drop_views, list_views, rewind
from online_store.writing.rows import FeastRow
from online_store.writing.writes import Writer

NO_VECTORS = "This store has no vector search: use Feast's `type: postgres`."


class WideOnlineStoreConfig(PostgreSQLOnlineStoreConfig):  # type: ignore[misc]
    """`db_schema` has the tables; `max_conn` limits the connections of a process.

    Connections are made on demand and kept. Other fields of the stock store have no effect, except that
    `vector_enabled: true` is refused.
    """

    type: Literal["online_store.store.WideOnlineStore"] = "online_store.store.WideOnlineStore"

    @field_validator("vector_enabled")
    @classmethod
    def _no_vectors(cls, enabled: bool | None) -> bool | None:
        if enabled:
            raise ValueError(NO_VECTORS)
        return enabled


class WideOnlineStore(OnlineStore):  # type: ignore[misc]
    """One wide typed table for each feature view, or for each version of it with Feast's online versioning."""

    _versioned_read_supported = True

    def __init__(self) -> None:
        self._pools, self._layouts = Pools(), LayoutCache()
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
        partial: bool,  # noqa: ARG002 - views in neither list are not changed anyway
    ) -> None:
        """Creates, changes and drops tables. Raises TooManyColumns, WideStoreError."""
        schema = schema_of(config)
        wanted = [
            replace(view_schema(config.project, view, entities_to_keep), view=name_of(config, view))
            for view in tables_to_keep
        ]
        with self._pools.get(address_of(config)).connection() as connection:
            create_catalogue(connection, schema)
            known = list_views(connection, schema, config.project)
            gone = {name for view in tables_to_delete for name in _versions(config, view, known)}
            dropped = gone - {each.view for each in wanted}
            drop_views(connection, schema, config.project, dropped)
            for each in wanted:
                apply_view(connection, schema, each)
        for name in (*dropped, *(each.view for each in wanted)):
            self._layouts.forget((schema, config.project, name))

    def teardown(
        self,
        config: RepoConfig,
        tables: Sequence[FeatureView],  # noqa: ARG002 - not all kinds of views; the whole project is dropped
        entities: Sequence[Entity],  # noqa: ARG002
    ) -> None:
        """Drops all tables of the project, then what no other project needs, and closes the connections."""
        schema = schema_of(config)
        with self._pools.get(address_of(config)).connection() as connection:
            views = list_views(connection, schema, config.project)
            drop_views(connection, schema, config.project, views)
            drop_catalogue(connection, schema)
        for name in views:
            self._layouts.forget((schema, config.project, name))
        self.disconnect()

    def rewind(self, config: RepoConfig, table: FeatureView, moment: datetime) -> int:
        """Lets the next materialisation, as of `moment`, replace the rows; returns how many were deleted.

        Not part of Feast's interface, in which no write replaces a newer value by an older one. Raises NoLayout.
        """
        schema, project, view = _view(config, table)
        with self._pools.get(address_of(config)).connection() as connection:
            return rewind(connection, read_layout(connection, project, view, schema=schema), moment)

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[FeastRow], progress: Callable[[int], Any] | None
    ) -> None:
        """Raises InvalidValue, NoLayout, and psycopg.Error where the server is down, after the chunks before."""
        self._writer.write(address_of(config), _view(config, table), rows=data, progress=progress)

    async def online_write_batch_async(self, *args: Any, **kwargs: Any) -> None:
        """In a thread, because most of it is CPU time. A cancellation does not interrupt a chunk."""
        await asyncio.to_thread(self.online_write_batch, *args, **kwargs)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[FeatureRow]:
        """The timestamp and the values of each key's row; absent features are left out. Raises NoLayout."""
        request = ViewRequest(_view(config, table), entity_keys, requested_features or None)
        return self._reader.read(address_of(config), [request])[0]

    async def online_read_async(self, *args: Any, **kwargs: Any) -> list[FeatureRow]:
        """The same in a thread, because most of it is CPU time."""
        return await asyncio.to_thread(self.online_read, *args, **kwargs)

    def _read_features_per_fv(self, config: RepoConfig, grouped_refs: list[Any], *args: Any) -> None:
        """Reads all views in one round trip, and fills the response by Feast's own function.

        `args` are two of the entities and three of the response.
        """
        requests = _requests(config, grouped_refs, *args[:2])
        rows = self._reader.read(address_of(config), [each.request for each in requests])
        proto, full_feature_names, with_versions = args[2:]
        for (table, requested), each, view_rows in zip(grouped_refs, requests, rows, strict=True):
            utils._populate_response_from_feature_data(
                requested, view_rows, each.positions, proto, full_feature_names, table, each.length, with_versions
            )

    async def _read_features_per_fv_async(self, *args: Any) -> None:
        await asyncio.to_thread(self._read_features_per_fv, *args)

    def retrieve_online_documents(self, *_: Any, **__: Any) -> NoReturn:
        """Raises Unsupported."""
        raise Unsupported(NO_VECTORS)

    retrieve_online_documents_v2 = retrieve_online_documents

    def disconnect(self) -> None:
        """Closes the idle connections; the next use opens new ones."""
        self._pools.close()

    async def close(self) -> None:
        """As `disconnect`."""
        self.disconnect()


def address_of(config: RepoConfig) -> Address:
    """Without a search path: statements name the schema."""
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
    return Address(tuple((name, part) for name, part in parts.items() if part is not None), store.max_conn)


def schema_of(config: RepoConfig) -> str:
    """As in the stock store: by default, the schema with the name of the user."""
    return str(config.online_store.db_schema or config.online_store.user).strip()


def name_of(config: RepoConfig, view: FeatureView) -> str:
    """The name of the view's table; with online versioning, that of its version."""
    name: str = compute_versioned_name(view, config.registry.enable_online_feature_view_versioning)
    return name


def _view(config: RepoConfig, table: FeatureView) -> ViewKey:
    return schema_of(config), config.project, name_of(config, table)


def _versions(config: RepoConfig, view: FeatureView, known: Sequence[str]) -> list[str]:
    """The names that the view's tables may have, as in the stock store."""
    if not config.registry.enable_online_feature_view_versioning:
        return [view.name]
    return [view.name, *(name for name in known if re.fullmatch(rf"{re.escape(view.name)}_v\d+", name))]


class _Request(NamedTuple):
    """A view's request, the positions of its entities in the response, and the response's length."""

    request: ViewRequest
    positions: Any
    length: int


def _requests(config: RepoConfig, grouped_refs: list[Any], *entities: Any) -> list[_Request]:
    requests: list[_Request] = []
    known: dict[Any, tuple[list[EntityKey], Any, int]] = {}
    for table, requested in grouped_refs:
        join_keys = (*table.entities, *sorted((table.projection.join_key_map or {}).items()))
        if join_keys not in known:
            unique, positions, length = utils._get_unique_entities(table, *entities)
            known[join_keys] = utils._get_entity_key_protos(unique), positions, length
        keys, positions, length = known[join_keys]
        requests.append(_Request(ViewRequest(_view(config, table), keys, requested), positions, length))
    return requests
