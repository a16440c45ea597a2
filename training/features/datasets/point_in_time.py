"""The labelled entities of a moment -> their rows with features and label, by point-in-time join in PostgreSQL.

The features are defined in Feast's registry; the SQL of the join is ours. Feast's takes thirteen times as long for a
million users, and quadratic time if the planner expects few rows: ours looks at the plan before it runs the query.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as arrow
from psycopg import sql

from asof.errors import ConfigurationError, TrainingSetError
from asof.extracts.schema import ExtractSchema
from asof.features.feature_contract import GIVEN, FeatureContract
from asof.features.feature_store import feature_store, quiet, read_contract, registered_service
from asof.features.join_keys import require_keys
from asof.given_features import Given
from asof.settings import Settings
from asof.targets import FALSE_AND_TRUE, Target
from training.data.snapshots.reading.copy_query import copy_rows
from training.data.snapshots.reading.known_at import KnownTables, tables_known_at
from training.data.snapshots.reading.replicas import again_at_primary
from training.features.datasets.point_in_time_sql import JoinStrategy, ViewSource, columns, join
from training.features.datasets.rows_digest import TYPES
from training.features.datasets.training_set import column_types
from training.ranges.plan import RANGE_USERS, Range, cut_points, ranges_between, without_rules
from training.ranges.query_plan import uses_key_index
from training.ranges.run import each_range
from training.targets import rules_of

if TYPE_CHECKING:
    from feast import FeatureStore

# For one transaction each: use indexes, and never join sets by nested loops.
INDEXES = {"enable_seqscan": "off", "enable_bitmapscan": "off", "max_parallel_workers_per_gather": "0", "jit": "off"}
SETS = {"enable_nestloop": "off", "work_mem": "64MB", "jit": "off"}
PLANNER_SETTINGS = {
    JoinStrategy.INDEX_LOOKUP: INDEXES,
    JoinStrategy.MOMENT_JOIN: {**INDEXES, **SETS, "enable_hashjoin": "off"},  # hashing wide rows takes longer
    JoinStrategy.SET_JOIN: SETS,
}
MAX_ROWS_READ = 2
"""Rows of the moment that a `MOMENT_JOIN` may read for each entity: of a small sample of them, lookups are cheaper."""


@dataclass(frozen=True)
class JoinedRows:
    """Keys, features in the contract's order and label: one row for each entity, ordered by the keys.

    Text is ordered by code points.

    `definition` is the SQL of the rows, the same on every machine.
    """

    rows: arrow.Table
    contract: FeatureContract
    definition: str


@again_at_primary
def joined_rows(
    settings: Settings,
    extract: ExtractSchema,
    as_of: datetime,
    *,
    known_at: datetime,
    feature_service: str,
    given: Given | None = None,
    target: Target = FALSE_AND_TRUE,
) -> JoinedRows:
    """Keys, features and label of every labelled entity as of one moment, as they were known at another.

    A feature is the entity's newest value not after `as_of` and not older than its view's ttl; labels and `given`
    features are those of `as_of` itself. Raises ConfigurationError if the views have other keys, TrainingSetError if
    nothing was known of `as_of` at `known_at`, or if it has no labels, labels that are not of the target, or no given
    features.
    """
    contract, sources = read_sources(settings, feature_service, given)
    require_keys(extract, feature_service, contract.keys)
    types = column_types(contract, extract.label, target.label_type)
    with tables_known_at(settings, extract, as_of=as_of, known_at=known_at, bulk=True) as tables:
        _require_rows(tables, extract, as_of, known_at, given=given)
        cuts = cut_points(tables, extract, as_of=as_of, known_at=known_at, size=RANGE_USERS)
        definition = join(sources, extract, as_of, JoinStrategy.INDEX_LOOKUP).as_string(tables.connection)
    work = JoinRange(without_rules(extract), sources, {name: types[name] for name in columns(sources, extract)})
    with closing(each_range(settings, work, ranges_between(cuts, as_of=as_of, known_at=known_at))) as results:
        parts = {part.number: rows for part, rows in results}
    rows = in_order([parts[number] for number in sorted(parts)], extract.keys)
    check_labels(rows[extract.label], target, as_of, known_at)
    return JoinedRows(rows, contract, definition)


@dataclass(frozen=True)
class JoinRange:
    """The work on one range: its rows, `types` of whose columns are Feast's."""

    extract: ExtractSchema
    sources: tuple[ViewSource, ...]
    types: Mapping[str, str]

    def __call__(self, settings: Settings, part: Range) -> arrow.Table:
        """The rows of the range, ordered by their keys; from the primary where a replica is lost."""
        return again_at_primary(self._joined)(settings, part)

    def _joined(self, settings: Settings, part: Range) -> arrow.Table:
        types = {name: TYPES[feast_type] for name, feast_type in self.types.items()}
        with tables_known_at(settings, self.extract, as_of=part.as_of, known_at=part.known_at, bulk=True) as tables:
            queries = {each: join(self.sources, self.extract, part.as_of, each, part) for each in JoinStrategy}
            with planned_query(tables, queries) as query:
                chunks = [*copy_rows(tables.connection, query, types)]
        return arrow.concat_tables(chunks) if chunks else arrow.schema(types).empty_table()


def in_order(parts: Sequence[arrow.Table], keys: Sequence[str]) -> arrow.Table:
    """The rows of all ranges by their keys, text by code points: the database may have put the ranges otherwise."""
    rows, ends = arrow.concat_tables(parts), [part.slice(len(part) - 1) for part in parts if len(part)]
    begins = [part.slice(0, 1) for part in parts if len(part)]
    values = [[tuple(each[key][0].as_py() for key in keys) for each in some] for some in (begins, ends)]
    if all(end < begin for begin, end in zip(values[0][1:], values[1], strict=False)):
        return rows
    return rows.sort_by([(key, "ascending") for key in keys])


def read_sources(
    settings: Settings, feature_service: str, given: Given | None = None
) -> tuple[FeatureContract, tuple[ViewSource, ...]]:
    """The contract of a feature service in Feast's registry, and the sources of its views; then the given features.

    Raises TrainingSetError if the service or one of its views is not registered, ConfigurationError if a given feature
    has the name of a stored one.
    """
    contract, sources = _registered_sources(settings, feature_service)
    if given is None:
        return contract, sources
    if both := [name for name in given.columns if name in contract.names]:
        raise ConfigurationError(
            f"{', '.join(both)}: feature service {feature_service!r} has a stored feature of the same name as a given "
            "one. Rename the given one, or leave the other out of the service."
        )
    table, own = given.table.name, {column.name for column in given.table.columns}
    source = ViewSource(
        GIVEN,
        f'"{table}"',
        keys={name: name for name in contract.keys.names if name in own},
        time="as_of",
        created="created_at",
        ttl=0,
        columns={name: name for name in given.columns},
        name=table,
        exact=True,
    )
    return replace(contract, features=(*contract.features, *given.features)), (*sources, source)


def _registered_sources(settings: Settings, feature_service: str) -> tuple[FeatureContract, tuple[ViewSource, ...]]:
    if found := registered_service(settings, feature_service):
        contract = found.contract
        return contract, tuple(_registered_source(found.views[view], contract) for view in contract.views)
    from feast.errors import FeastObjectNotFoundException

    try:
        with feature_store(settings) as store, quiet():
            contract = read_contract(store, store.get_feature_service(feature_service))
            return contract, tuple(_source(store, contract, view) for view in contract.views)
    except FeastObjectNotFoundException as error:
        raise TrainingSetError(f"{feature_service} cannot be read: {error}. Put it back into feature_repo/.") from error


def _source(store: "FeatureStore", contract: FeatureContract, view: str) -> ViewSource:
    definition = store.get_feature_view(view)
    source, ttl = definition.batch_source, definition.ttl or timedelta()
    return _view_source(source, contract, view, query=source.get_table_query_string(), name=source.name, ttl=ttl)


def _registered_source(view: Any, contract: FeatureContract) -> ViewSource:
    """The same from the `spec` of a view's message, as `RegisteredService` has it."""
    source = view.batch_source
    options = json.loads(source.custom_options.configuration)
    query, name = options["table"] or f"({options['query']})", options["name"] or options["table"]
    return _view_source(source, contract, view.name, query=query, name=name, ttl=view.ttl.ToTimedelta())


def _view_source(
    source: Any, contract: FeatureContract, view: str, *, query: str, name: str, ttl: timedelta
) -> ViewSource:
    columns = {name: column for column, name in source.field_mapping.items()}
    features = [feature.name for feature in contract.features if feature.view == view]
    return ViewSource(
        view,
        query,
        keys={name: columns.get(name, name) for name in contract.keys.of_view(view)},
        time=source.timestamp_field,
        created=source.created_timestamp_column or source.timestamp_field,
        ttl=int(ttl.total_seconds()),
        columns={name: columns.get(name, name) for name in features},
        name=name,
    )


@contextmanager
def planned_query(tables: KnownTables, queries: Mapping[JoinStrategy, sql.Composed]) -> Iterator[sql.Composed]:
    """One of three equivalent queries, in a transaction with its PLANNER_SETTINGS."""
    strategy = chosen_strategy(tables, queries)
    with tables.connection.transaction():
        _set(tables, PLANNER_SETTINGS[strategy])
        yield queries[strategy]


def chosen_strategy(tables: KnownTables, queries: Mapping[JoinStrategy, sql.Composed]) -> JoinStrategy:
    """The first whose lookups use an index, `MOMENT_JOIN` only where most entities have a row of the moment.

    `SET_JOIN` if none does: never quadratic.
    """
    for strategy, most in ((JoinStrategy.MOMENT_JOIN, MAX_ROWS_READ), (JoinStrategy.INDEX_LOOKUP, math.inf)):
        with tables.connection.transaction():
            _set(tables, PLANNER_SETTINGS[strategy])
            if uses_key_index(tables.connection, queries[strategy], most_read=most):
                return strategy
    return JoinStrategy.SET_JOIN


def _set(tables: KnownTables, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        tables.connection.execute("SELECT set_config(%s, %s, true)", (name, value))


def newest_labelled_month(settings: Settings, extract: ExtractSchema, known_at: datetime | None = None) -> datetime:
    """As `training.features.datasets.dataset.newest_labelled`, for features from the store."""
    known = known_at or datetime.now(UTC)
    with tables_known_at(settings, extract, as_of=known, known_at=known) as tables:
        query = sql.SQL("SELECT max(as_of) FROM {} WHERE as_of IN (SELECT as_of FROM {})").format(
            sql.Identifier(extract.entity_table), sql.Identifier(extract.labels.name)
        )
        row = tables.connection.execute(query).fetchone()
    if not row or row[0] is None:
        raise TrainingSetError("No moment has features and labels yet: ingest an extract and the labels of its moment.")
    moment: datetime = row[0]
    return moment


def _require_rows(
    tables: KnownTables, extract: ExtractSchema, as_of: datetime, known_at: datetime, *, given: Given | None
) -> None:
    moment = _moment(as_of, known_at)
    if not _holds(tables, extract.entity_table, as_of):
        raise TrainingSetError(f"There are no features {moment}: ingest them first.")
    if not _holds(tables, extract.labels.name, as_of):
        raise TrainingSetError(
            f"There are no labels {moment}: ingest them when they are known, or take an earlier moment."
        )
    if given and not _holds(tables, given.table.name, as_of):
        raise TrainingSetError(f"There are no rows of {given.table.name} {moment}: ingest that file, too.")


def check_labels(labels: arrow.ChunkedArray, target: Target, as_of: datetime, known_at: datetime) -> None:
    """Of the labels after all corrections, unlike those in the table."""
    moment = _moment(as_of, known_at)
    if len(classes := labels.unique()) == 1:
        raise TrainingSetError(
            f"Every label is {classes[0]} {moment}: a model needs others; check the labels of that moment."
        )
    if fault := rules_of(target).fault(labels.to_pandas()):
        raise TrainingSetError(f"The labels {moment} {fault}: check the labels of that moment.")


def _moment(as_of: datetime, known_at: datetime) -> str:
    return f"as of {as_of.isoformat()}, as known at {known_at.isoformat()}"


def _holds(tables: KnownTables, table: str, as_of: datetime) -> bool:
    query = sql.SQL("SELECT FROM {} WHERE as_of = %s LIMIT 1").format(sql.Identifier(table))
    return tables.connection.execute(query, (as_of,)).fetchone() is not None
