"""Feast's own PostgreSQL online store, read without Feast: one round trip for all entities and views."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import sql

from asof.features.feature_contract import FeatureContract
from asof.inference.found_columns import FoundColumns
from asof.inference.verdicts import FoundRow, Policy
from asof.serving.features.store.addresses import store_conninfo, store_schema
from asof.serving.features.store.feast_messages import feast_messages
from asof.serving.features.store.values import value_of
from online_store.reading.prepared_queries import PreparedQueries

BYTEA, BYTEA_ARRAY = 17, 1001
"""PostgreSQL's numbers of the types `bytea` and `bytea[]`, the same everywhere."""


def lookup_query(contract: FeatureContract, tables: Sequence[str]) -> str:
    """Takes an array of keys; gives place (from 1), view (from 0), feature's name, value and moment.

    `tables` are those of the contract's views, in their order. The views of one key are read one after another by
    their index, so that the plan depends on no statistics. Of eight shapes none was cheaper in CPU of client and server
    together; to gather rows into arrays, by view or whole, saves the client less than it costs the server.
    """
    parts = [_part(contract, number, table) for number, table in enumerate(tables)]
    query = sql.SQL(
        "SELECT key.place, held.* FROM unnest($1::bytea[]) WITH ORDINALITY key (entity_key, place), LATERAL ({}) held"
    )
    return query.format(sql.SQL(" UNION ALL ").join(parts)).as_string()


def _part(contract: FeatureContract, number: int, table: str) -> sql.Composed:
    part = sql.SQL(
        "SELECT {}, feature_name, value, event_ts FROM {} stored"
        " WHERE stored.entity_key = key.entity_key AND feature_name = ANY({})"
    )
    names = [feature.name for feature in contract.features if feature.view == contract.views[number]]
    return part.format(sql.Literal(number), sql.Identifier(table), sql.Literal(names))


class Keys:
    """The keys under which Feast keeps entities that are named by one string."""

    def __init__(self, join_key: str, version: int) -> None:
        """What comes before the string and its length is the same for all: Feast makes it, once."""
        messages = feast_messages()
        nobody = messages.entity_key(join_keys=[join_key], entity_values=[messages.value(string_val="")])
        self._prefix = messages.serialize_entity_key(nobody, version)[:-4]

    def key(self, entity: str) -> bytes:
        """The same bytes as Feast's `serialize_entity_key`. What is no Unicode gets a key that nobody has."""
        name = entity.encode(errors="surrogatepass")
        return self._prefix + struct.pack("<I", len(name)) + name

    def parameter(self, entities: Sequence[str]) -> bytes:
        """The keys as an array in PostgreSQL's binary form: one dimension, no nulls, counted from 1."""
        parts = [struct.pack("!iiIii", 1, 0, BYTEA, len(entities), 1)]
        for entity in entities:
            key = self.key(entity)
            parts += (struct.pack("!i", len(key)), key)
        return b"".join(parts)


class Columns:
    """Where each stored feature belongs in a row of the contract's."""

    def __init__(self, contract: FeatureContract) -> None:
        self._features = contract.features
        self._by_view: list[dict[str, int]] = [{} for _ in contract.views]
        for column, feature in enumerate(contract.features):
            self._by_view[contract.views.index(feature.view)][feature.name] = column

    def rows(self, stored: Iterable[tuple[Any, ...]], count: int) -> list[FoundRow]:
        """The query's rows -> one row for each of `count` keys.

        Feast gives all features of a view the moment of one of them, whichever comes last. They are written together
        and so have the same; where they have not, each keeps its own here.
        """
        width, by_view = len(self._features), self._by_view
        values: list[list[Any]] = [[None] * width for _ in range(count)]
        moments: list[list[datetime | None]] = [[None] * width for _ in range(count)]
        for place, view, name, value, moment in stored:
            column = by_view[view][name]
            values[place - 1][column] = value_of(value)
            moments[place - 1][column] = moment
        return [FoundRow(self._features, *each) for each in zip(values, moments, strict=True)]


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
