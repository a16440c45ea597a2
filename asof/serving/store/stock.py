"""Feast's own PostgreSQL online store, read without Feast: one round trip for all entities and views."""

from collections.abc import Mapping, Sequence
from typing import Any

from asof.feature_contract import FeatureContract
from asof.serving.found_columns import FoundColumns
from asof.serving.store.addresses import store_conninfo, store_schema
from asof.serving.store.stock_query import BYTEA_ARRAY, Columns, Keys, lookup_query
from asof.serving.verdicts import FoundRow, Policy
from online_store.reading.prepared_queries import PreparedQueries

LOOKUP = b"asof_lookup"


class StockReader:
    """An EntityReader of the tables that `feast materialize` fills; connects when it is first asked."""

    def __init__(
        self, configuration: Mapping[str, Any], contract: FeatureContract, policies: Mapping[str, Policy]
    ) -> None:
        self.policies = policies
        self._features = contract.features
        store, project = configuration["online_store"], configuration["project"]
        self._conninfo, self._search_path = store_conninfo(store), _search_path(store)
        self._query = lookup_query(contract, [f"{project}_{view}" for view in contract.views])
        self._keys = Keys(contract.entity, configuration.get("entity_key_serialization_version", 3))
        self._columns = Columns(contract)
        self._connection: PreparedQueries | None = None
        self._closed = False

    async def read(self, entities: Sequence[str]) -> list[FoundRow]:
        connection, self._connection = self._connection or await self._connect(), None
        with connection.closed_on_failure():
            answer = await connection.ask(LOOKUP, self._keys.parameter(entities))
        stored = connection.rows(answer)
        if self._closed:
            connection.close()
        else:
            self._connection = connection
        return self._columns.rows(stored, len(entities))

    async def read_columns(self, entities: Sequence[str]) -> FoundColumns:
        return FoundColumns.from_rows(self._features, await self.read(entities))

    async def close(self) -> None:
        self._closed = True
        if self._connection:
            self._connection.close()

    async def _connect(self) -> PreparedQueries:
        connection = await PreparedQueries.connect(self._conninfo, search_path=self._search_path)
        with connection.closed_on_failure():
            await connection.prepare(LOOKUP, self._query, [BYTEA_ARRAY])
        return connection


def _search_path(store: Mapping[str, Any]) -> str:
    schema = store_schema(store)
    return schema if schema == "public" else f"{schema},public"
