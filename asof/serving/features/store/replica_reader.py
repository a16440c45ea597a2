"""Lookups at a read replica that is current, or else at the primary: a replica that fails costs no request."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from psycopg import Error

from asof.errors import AsOfError
from asof.features.feature_contract import FeatureContract
from asof.features.join_keys import Entity
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import StoredRow
from asof.serving.features.store.deadline import within
from asof.serving.features.store.opening import OpenReader
from asof.serving.features.store.reader import EntityReader
from asof.serving.features.store.replica_watch import Replica, ReplicaWatch

Result = TypeVar("Result")
LookUp = Callable[[EntityReader], Coroutine[Any, Any, Result]]

SHARE = 3
"""A replica may take this part of `lookup_timeout`: the rest is left for the primary."""


class ReplicaReader:
    """An EntityReader over the primary's and one for each replica that was used.

    A replica's reader is opened as the primary's is: by the registry that the replica has, which must fit the model.
    So its rows are judged by definitions that are as new as they are.
    """

    def __init__(
        self, primary: EntityReader, watch: ReplicaWatch, opener: OpenReader, contract: FeatureContract
    ) -> None:
        self.policies = primary.policies
        self._primary, self._watch, self._contract = primary, watch, contract
        self._opener, self._opened = opener, dict[Replica, EntityReader]()
        self._closed = False

    async def read(self, entities: Sequence[Entity]) -> list[StoredRow]:
        return await self._look_up(lambda reader: reader.read(entities))

    async def read_columns(self, entities: Sequence[Entity]) -> StoredColumns:
        return await self._look_up(lambda reader: reader.read_columns(entities))

    async def close(self) -> None:
        self._closed = True
        for reader in (self._primary, *self._opened.values()):
            await reader.close()

    async def _look_up(self, look_up: LookUp[Result]) -> Result:
        for replica in self._watch.current:
            try:
                seconds = replica.settings.lookup_timeout / SHARE
                return await within(seconds, self._at(replica, look_up))
            except TimeoutError:
                self._watch.leave(replica, f"a lookup took more than {seconds:g} s")
                break  # another one might take as long
            except (Error, AsOfError, OSError) as error:
                self._watch.leave(replica, f"a lookup failed ({type(error).__name__})")
        return await look_up(self._primary)

    async def _at(self, replica: Replica, look_up: LookUp[Result]) -> Result:
        if replica not in self._opened:
            self._opened[replica] = await asyncio.to_thread(self._opener, replica.settings, self._contract)
            if self._closed:
                await self.close()
        return await look_up(self._opened[replica])
