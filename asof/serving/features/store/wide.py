"""Our own online store (`online_store/`), read without Feast: one round trip for all entities and views."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from asof.errors import FeatureStoreUnavailable
from asof.features.feature_contract import FeatureContract
from asof.inference.found_columns import FoundColumn, FoundColumns
from asof.inference.verdicts import FoundRow, Policy
from asof.serving.features.store.addresses import store_conninfo, store_schema
from online_store.array_reader import ArrayReader
from online_store.errors import WideStoreError
from online_store.reading.direct_lookup import Source
from online_store.reading.direct_query import arrays_fit
from online_store.row_reader import RowReader

Read = TypeVar("Read")


class WideReader:
    """An EntityReader of the tables of our own store; connects when it is first asked, for few and for many apart."""

    def __init__(
        self, configuration: Mapping[str, Any], contract: FeatureContract, policies: Mapping[str, Policy]
    ) -> None:
        self.policies = policies
        self._contract = contract
        store = configuration["online_store"]
        source = Source(store_conninfo(store), store_schema(store), configuration["project"])
        wanted = [(feature.view, feature.name) for feature in contract.features]
        self._rows = RowReader(source, wanted, nan_is_null=True)
        self._arrays = ArrayReader(source, wanted, nan_is_null=True)

    @staticmethod
    def can_read(contract: FeatureContract) -> bool:
        """Whether one query can give so many features; else Feast asks view by view."""
        return arrays_fit(len(contract.views), len(contract.features))

    async def read(self, entities: Sequence[str]) -> list[FoundRow]:
        rows = await _told(self._rows.read({self._contract.entity: entities}))
        return [FoundRow(self._contract.features, values, moments) for values, moments in rows]

    async def read_columns(self, entities: Sequence[str]) -> FoundColumns:
        columns = await _told(self._arrays.read({self._contract.entity: entities}))
        found = [FoundColumn(each.values, each.nulls, each.moments) for each in columns]
        return FoundColumns(self._contract.features, found)

    async def close(self) -> None:
        await self._rows.close()
        await self._arrays.close()


async def _told(reading: Awaitable[Read]) -> Read:
    try:
        return await reading
    except WideStoreError as error:
        raise FeatureStoreUnavailable(f"The online store failed ({type(error).__name__}): {error}") from error
