"""Reads our own online store (`online_store/`) without Feast: one query for all entities and views."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from psycopg.conninfo import make_conninfo

from asof.errors import FeatureStoreUnavailable
from asof.features.feature_contract import FeatureContract
from asof.features.join_keys import Entity
from asof.inference.stored_columns import StoredColumn, StoredColumns
from asof.inference.verdicts import Policy, StoredRow
from online_store.array_reader import ArrayReader
from online_store.errors import WideStoreError
from online_store.reading.direct_lookup import Source
from online_store.reading.direct_query import arrays_fit
from online_store.row_reader import RowReader

Result = TypeVar("Result")

WIDE = "online_store.store.WideOnlineStore"
"""The `type` of our own online store in feature_store.yaml."""

OPTIONS = {
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
"""libpq's connection options -> those of the online store in feature_store.yaml."""


class WideReader:
    """An EntityReader of our own store; `read` and `read_columns` have their own connections, opened when needed."""

    def __init__(
        self, configuration: Mapping[str, Any], contract: FeatureContract, policies: Mapping[str, Policy]
    ) -> None:
        self.policies = policies
        self._contract = contract
        # As in Feast (`feast/infra/utils/postgres/connection_utils.py`), with its defaults.
        store = {"sslmode": "require", "db_schema": "public", **configuration["online_store"]}
        conninfo = make_conninfo("", **{option: store.get(name) for option, name in OPTIONS.items()})
        source = Source(conninfo, (store["db_schema"] or store["user"]).strip(), configuration["project"])
        wanted = [(feature.view, feature.name) for feature in contract.features]
        self._rows = RowReader(source, wanted, nan_is_null=True)
        self._arrays = ArrayReader(source, wanted, nan_is_null=True)

    @staticmethod
    def can_read(contract: FeatureContract) -> bool:
        """Whether one query can return so many features; Feast queries view by view."""
        return arrays_fit(len(contract.views), len(contract.features))

    async def read(self, entities: Sequence[Entity]) -> list[StoredRow]:
        rows = await _checked(self._rows.read(self._contract.keys.columns(entities)))
        return [StoredRow(self._contract.features, values, moments) for values, moments in rows]

    async def read_columns(self, entities: Sequence[Entity]) -> StoredColumns:
        columns = await _checked(self._arrays.read(self._contract.keys.columns(entities)))
        stored = [StoredColumn(each.values, each.nulls, each.moments) for each in columns]
        return StoredColumns(self._contract.features, stored)

    async def close(self) -> None:
        await self._rows.close()
        await self._arrays.close()


async def _checked(result: Awaitable[Result]) -> Result:
    try:
        return await result
    except WideStoreError as error:
        raise FeatureStoreUnavailable(f"The online store failed ({type(error).__name__}): {error}") from error
