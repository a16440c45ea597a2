"""Snapshot tables -> chunks of a range's users with their feature values, in constant memory.

Rows are never changed, and those that are known later are left out: loads during the run make no difference.
"""

import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as arrow
from numpy.typing import NDArray
from psycopg import sql

from asof.extracts.schema import ExtractSchema
from asof.features.definition_records import DefinitionRecords
from asof.features.feature_contract import GIVEN, Feature, FeatureContract
from asof.features.feature_store import definition_records, feature_store, registered_service
from asof.features.join_keys import Entity, JoinKeys, keys_of_extract
from asof.given_features import Given
from asof.inference.policies import RegisteredFeatures, require_same, view_policy
from asof.inference.stored_columns import DTYPES, StoredColumn, StoredColumns
from asof.inference.verdicts import Policy
from asof.settings import Settings
from training.data.snapshots.reading.copy_query import copy_rows
from training.data.snapshots.reading.known_at import KnownTables
from training.features.datasets.point_in_time import planned_query, read_sources
from training.features.datasets.point_in_time_sql import JoinStrategy, ViewSource, listed, view_join
from training.features.datasets.rows_digest import TYPES
from training.features.datasets.training_set import key_types
from training.ranges.plan import Range

MOMENT = "moment of the row"
"""The column of a view's timestamp. No feature has a space in its name."""

USERS = "SELECT DISTINCT {keys} FROM {entities}{where} ORDER BY {keys}"
# `labelled` is the alias that `view_join` joins the views to.
ROWS = """
SELECT {keys}, {columns}
FROM ({users}) AS labelled{views}
ORDER BY {keys}"""


def users_query(extract: ExtractSchema, part: Range) -> sql.Composed:
    """The keys in the entity table that are of a range, in order; the search path selects the snapshot."""
    columns = [sql.Identifier(key) for key in extract.keys]
    conditions = part.conditions(columns)
    where = sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("")
    return sql.SQL(USERS).format(keys=listed(columns), entities=sql.Identifier(extract.entity_table), where=where)


def user_rows(extract: ExtractSchema, sources: Iterable[ViewSource], part: Range) -> dict[JoinStrategy, sql.Composed]:
    """The query of a row for each user of a range, by strategy: keys, then each source's features and timestamp.

    A source's columns are null where it has no row of the user up to `as_of`.
    """
    dated = [replace(each, ttl=0, columns={**each.columns, MOMENT: each.time}) for each in sources]
    columns = [sql.Identifier(each.view, name) for each in dated for name in each.columns]
    return {
        strategy: sql.SQL(ROWS).format(
            keys=listed(sql.Identifier("labelled", key) for key in extract.keys),
            columns=listed(columns),
            users=users_query(extract, part),
            views=sql.SQL("").join(view_join(each, part.as_of, strategy, extract.keys[0], part) for each in dated),
        )
        for strategy in JoinStrategy
    }


@dataclass(frozen=True)
class FeatureSources:
    """The contract of a model, the sources of its views, and the policy of each feature in the contract's order."""

    contract: FeatureContract
    sources: Sequence[ViewSource]
    policies: Sequence[Policy]

    @property
    def views(self) -> str:
        """The digest of the sources and policies."""
        return hashlib.sha256(repr((self.sources, self.policies)).encode()).hexdigest()


def read_features(settings: Settings, contract: FeatureContract, given: Given | None = None) -> FeatureSources:
    """The sources and policies that are registered for the contract, and those of the given features.

    Raises FeatureContractMismatch where the registered features differ from the contract, TrainingSetError where its
    feature service is not registered.
    """
    registered, sources = read_sources(settings, contract.feature_service, given)
    accepted = definition_records(settings, contract).accepted
    require_same(contract, RegisteredFeatures(registered, {}, DefinitionRecords(accepted=accepted)))
    policies = {**_policies(settings, contract), GIVEN: Policy(None, refuses=True)}
    return FeatureSources(contract, sources, [policies[feature.source] for feature in contract.features])


def _policies(settings: Settings, contract: FeatureContract) -> dict[str, Policy]:
    if found := registered_service(settings, contract.feature_service):
        return {name: view_policy(view.ttl.ToTimedelta(), view.tags) for name, view in found.views.items()}
    with feature_store(settings) as store:
        views = {name: store.get_feature_view(name) for name in contract.views}
    return {name: view_policy(view.ttl, view.tags) for name, view in views.items()}


@dataclass(frozen=True)
class Chunk:
    """Some users: the canonical text of each (`JoinKeys.text`), and their feature values in the same order."""

    entities: arrow.Array
    columns: StoredColumns
    keys: JoinKeys

    def __len__(self) -> int:
        return len(self.entities)

    def entity(self, number: int) -> Entity:
        """One of the users."""
        return self.keys.parse(self.entities[number].as_py())


def read_chunks(
    tables: KnownTables, extract: ExtractSchema, features: FeatureSources, part: Range, *, size: int
) -> Generator[Chunk, None, None]:
    """All users of a range in order, `size` in a chunk.

    Raises TrainingSetError for a value that is not of its feature's type.
    """
    keys = keys_of_extract(extract)
    types = {name: TYPES[feast_type] for name, feast_type in key_types(keys).items()}
    dtypes = {feature.name: TYPES[feature.dtype] for feature in features.contract.features}
    for source in features.sources:
        types |= {name: dtypes[name] for name in source.columns} | {_moment(source.view): TYPES["UnixTimestamp"]}
    with planned_query(tables, user_rows(extract, features.sources, part)) as query:
        for table in _sized(copy_rows(tables.connection, query, types), size):
            yield _chunk(table, features.contract, keys)


def _moment(view: str) -> str:
    return f"moment of {view}"


def _sized(tables: Iterable[arrow.Table], size: int) -> Iterator[arrow.Table]:
    """The same rows, `size` in each table but the last."""
    rest: arrow.Table | None = None
    for table in tables:
        rows = table if rest is None else arrow.concat_tables([rest, table])
        end = len(rows) - len(rows) % size
        yield from (rows.slice(start, size).combine_chunks() for start in range(0, end, size))
        rest = rows.slice(end)
    if rest is not None and len(rest):
        yield rest.combine_chunks()


def _chunk(table: arrow.Table, contract: FeatureContract, keys: JoinKeys) -> Chunk:
    views = dict.fromkeys(feature.source for feature in contract.features)
    moments = {view: _moments(_array(table, _moment(view))) for view in views}
    columns = [_column(_array(table, feature.name), feature, moments[feature.source]) for feature in contract.features]
    return Chunk(_entities(table, keys), StoredColumns(contract.features, columns), keys)


def _entities(table: arrow.Table, keys: JoinKeys) -> arrow.Array:
    columns = [_array(table, name) for name in keys.names]
    if len(columns) == 1:
        return columns[0].cast(TYPES["String"])
    return arrow.array(map(keys.text, zip(*map(arrow.Array.to_pylist, columns), strict=True)), TYPES["String"])


def _array(table: arrow.Table, name: str) -> arrow.Array:
    return table[name].chunk(0)


def _moments(values: arrow.Array) -> NDArray[np.datetime64]:
    """In UTC; NaT for null."""
    moments: NDArray[np.datetime64] = values.to_numpy(zero_copy_only=False).astype("datetime64[us]", copy=False)
    return moments


def _column(values: arrow.Array, feature: Feature, moments: NDArray[np.datetime64]) -> StoredColumn:
    """NaN counts as null, as in the service."""
    nulls: NDArray[np.bool_] = values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    dtype = DTYPES.get(feature.dtype, "object")
    filled = values if dtype == "object" else values.fill_null(np.zeros((), dtype).item())
    array: NDArray[Any] = filled.to_numpy(zero_copy_only=False)
    return StoredColumn(array.astype(dtype, copy=False), nulls, moments)
