"""The labelled entities of a moment -> their rows with features and label, joined point in time by PostgreSQL.

Feast's registry says what the features are; the join's text is ours. Feast's own takes thirteen times as long on a
million users, and quadratic time where the planner expects few rows: here the plan is looked at before it is run.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as arrow
from psycopg import sql

from asof.errors import TrainingSetError
from asof.extract_schema import ExtractSchema
from asof.features.feature_contract import FeatureContract
from asof.features.feature_store import feature_store, quiet, read_contract
from asof.settings import Settings
from training.data.snapshots.copy_query import copied
from training.data.snapshots.known_at import KnownTables, tables_known_at
from training.data.snapshots.query_plan import finds_by_key
from training.features.datasets.point_in_time_sql import Form, ViewSource, columns, join
from training.features.datasets.rows_digest import TYPES
from training.features.datasets.training_set import column_types

if TYPE_CHECKING:
    from feast import FeatureStore

# For our transaction alone, so that no role or database is altered and nobody has to remember it: indexes where there
# are any, and sets never joined by nested loops.
SESSION = {
    Form.BY_KEY: {
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "max_parallel_workers_per_gather": "0",
        "jit": "off",
    },
    Form.BY_SET: {"enable_nestloop": "off", "work_mem": "64MB", "jit": "off"},
}


@dataclass(frozen=True)
class JoinedRows:
    """Key, features in the contract's order and label, one row for each entity in the order of the keys' code points.

    `definition` is the SQL that defines them, the same on every machine.
    """

    rows: arrow.Table
    contract: FeatureContract
    definition: str


def joined_rows(
    settings: Settings, extract: ExtractSchema, as_of: datetime, *, known_at: datetime, feature_service: str
) -> JoinedRows:
    """Key, features and label of every labelled entity as of one moment, as they were known at another.

    The features are joined point in time: an entity's newest value not after `as_of` and not older than its view's
    ttl. Labels are those of `as_of` itself. The same call gives the same rows at any later time, whatever has been
    loaded since. Raises TrainingSetError where nothing was known of `as_of` at `known_at`, where it has no labels, or
    labels of one class.
    """
    contract, sources = read_sources(settings, feature_service)
    types = column_types(contract, extract.label)
    with tables_known_at(settings, extract, as_of=as_of, known_at=known_at) as tables:
        _check(tables, extract, as_of, known_at)
        queries = {form: join(sources, extract, as_of, form) for form in Form}
        rows = _fetch(tables, queries, {name: TYPES[types[name]] for name in columns(sources, extract)})
        _check_classes(rows[extract.label], as_of, known_at)
        return JoinedRows(rows, contract, queries[Form.BY_KEY].as_string(tables.connection))


def read_sources(settings: Settings, feature_service: str) -> tuple[FeatureContract, tuple[ViewSource, ...]]:
    """A feature service as Feast's registry has it, and what its views read.

    Raises TrainingSetError where the registry does not know it, or one of its views.
    """
    from feast.errors import FeastObjectNotFoundException

    try:
        with feature_store(settings) as store, quiet():
            contract = read_contract(store, store.get_feature_service(feature_service))
            return contract, tuple(_source(store, contract, view) for view in contract.views)
    except FeastObjectNotFoundException as error:
        raise TrainingSetError(f"{feature_service} cannot be read: {error}. Put it back into feature_repo/.") from error


def _source(store: "FeatureStore", contract: FeatureContract, view: str) -> ViewSource:
    definition = store.get_feature_view(view)
    source = definition.batch_source
    columns = {name: column for column, name in source.field_mapping.items()}
    features = [feature.name for feature in contract.features if feature.view == view]
    return ViewSource(
        view,
        source.get_table_query_string(),
        key=columns.get(contract.entity, contract.entity),
        time=source.timestamp_field,
        created=source.created_timestamp_column or source.timestamp_field,
        ttl=int(definition.ttl.total_seconds()) if definition.ttl else 0,
        columns={name: columns.get(name, name) for name in features},
        name=source.name,
    )


def _fetch(tables: KnownTables, queries: dict[Form, sql.Composed], types: dict[str, arrow.DataType]) -> arrow.Table:
    with never_quadratic(tables, queries) as query:
        return arrow.concat_tables(copied(tables.connection, query, types))


@contextmanager
def never_quadratic(tables: KnownTables, queries: Mapping[Form, sql.Composed]) -> Iterator[sql.Composed]:
    """One of two queries that give the same rows, in a transaction with the planner's settings for it.

    `BY_KEY` where the plan of it looks each entity up through an index, else `BY_SET`.
    """
    with tables.connection.transaction():
        _set(tables, SESSION[Form.BY_KEY])
        form = Form.BY_KEY if finds_by_key(tables.connection, queries[Form.BY_KEY]) else Form.BY_SET
    with tables.connection.transaction():
        _set(tables, SESSION[form])
        yield queries[form]


def _set(tables: KnownTables, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        tables.connection.execute("SELECT set_config(%s, %s, true)", (name, value))


def newest_labelled_month(settings: Settings, extract: ExtractSchema, known_at: datetime | None = None) -> datetime:
    """The newest moment that had both features and labels at `known_at` (default: now).

    Raises TrainingSetError where there was none.
    """
    known = known_at or datetime.now(UTC)
    with tables_known_at(settings, extract, as_of=known, known_at=known) as tables:
        query = sql.SQL("SELECT max(as_of) FROM {} WHERE as_of IN (SELECT as_of FROM {})").format(
            sql.Identifier(extract.entity_table), sql.Identifier(extract.labels.name)
        )
        row = tables.connection.execute(query).fetchone()
    if not row or row[0] is None:
        raise TrainingSetError("No month has features and labels yet: ingest an extract and the labels of its month.")
    moment: datetime = row[0]
    return moment


def _check(tables: KnownTables, extract: ExtractSchema, as_of: datetime, known_at: datetime) -> None:
    moment = _moment(as_of, known_at)
    if not _holds(tables, extract.entity_table, as_of):
        raise TrainingSetError(f"There are no features {moment}: ingest that month first.")
    if not _holds(tables, extract.labels.name, as_of):
        raise TrainingSetError(f"There are no labels {moment}: ingest them when the month is over, or go a month back.")


def _check_classes(labels: arrow.ChunkedArray, as_of: datetime, known_at: datetime) -> None:
    """Of the labels as they are after all corrections; those that were corrected are still in the table."""
    if len(classes := labels.unique()) == 1:
        moment = _moment(as_of, known_at)
        raise TrainingSetError(f"Every label is {classes[0]} {moment}: a model needs both; check that month's labels.")


def _moment(as_of: datetime, known_at: datetime) -> str:
    return f"as of {as_of.isoformat()}, as known at {known_at.isoformat()}"


def _holds(tables: KnownTables, table: str, as_of: datetime) -> bool:
    query = sql.SQL("SELECT FROM {} WHERE as_of = %s LIMIT 1").format(sql.Identifier(table))
    return tables.connection.execute(query, (as_of,)).fetchone() is not None
