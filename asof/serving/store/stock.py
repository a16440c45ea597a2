"""Feast's own PostgreSQL online store, read without Feast: one round trip for all entities and views."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.conninfo import make_conninfo

from asof.feature_contract import FeatureContract
from asof.serving.found_columns import FoundColumns
from asof.serving.store.connection import PreparedQuery
from asof.serving.store.stock_query import Columns, Keys, lookup_query
from asof.serving.verdicts import FoundRow, Policy

NAMES = {
    "host": "host",
    "port": "port",
    "dbname": "database",
    "user": "user",
    "password": "password",
    "sslmode": "sslmode",
    "sslkey": "sslkey_path",
    "sslcert": "sslcert_path",
    "sslrootcert": "sslrootcert_path",
    "keepalives_idle": "keepalives_idle",
}
"""libpq's names of what a connection takes -> those in feature_store.yaml."""


class StockReader:
    """An EntityReader of the tables that `feast materialize` fills; connects when it is first asked."""

    def __init__(
        self, configuration: Mapping[str, Any], contract: FeatureContract, policies: Mapping[str, Policy]
    ) -> None:
        self.policies = policies
        self._features = contract.features
        store, project = configuration["online_store"], configuration["project"]
        self._conninfo, self._options = _conninfo(store), _search_path(store)
        self._query = lookup_query(contract, [f"{project}_{view}" for view in contract.views])
        self._keys = Keys(contract.entity, configuration.get("entity_key_serialization_version", 3))
        self._columns = Columns(contract)
        self._connection: PreparedQuery | None = None
        self._closed = False

    async def read(self, entities: Sequence[str]) -> list[FoundRow]:
        connection, self._connection = self._connection or await self._connect(), None
        try:
            stored = await connection.ask(self._keys.parameter(entities))
        except BaseException:
            connection.close()
            raise
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

    async def _connect(self) -> PreparedQuery:
        return await PreparedQuery.open(self._conninfo, self._query, options=self._options)


def _conninfo(store: Mapping[str, Any]) -> str:
    """As Feast connects (`feast/infra/utils/postgres/connection_utils.py`), with its defaults."""
    told = {"sslmode": "require", **store}
    return make_conninfo("", **{name: told.get(theirs) for name, theirs in NAMES.items()})


def _search_path(store: Mapping[str, Any]) -> str:
    schema = (store.get("db_schema", "public") or store["user"]).strip()
    return f"-c search_path={schema}" if schema == "public" else f"-c search_path={schema},public"
