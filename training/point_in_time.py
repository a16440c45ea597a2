"""The labelled entities of a moment -> their rows with features and label, through Feast's point-in-time join."""

from datetime import UTC, datetime

import pandas as pd
from psycopg import sql

from asof.errors import TrainingSetError
from asof.extract_schema import ExtractSchema
from asof.feature_contract import FeatureContract
from asof.feature_store import feature_store, quiet, read_contract
from asof.settings import Settings
from training.known_at import KnownTables, tables_known_at


def joined_rows(
    settings: Settings, extract: ExtractSchema, as_of: datetime, *, known_at: datetime, feature_service: str
) -> tuple[pd.DataFrame, FeatureContract]:
    """Key, features and label of every labelled entity as of one moment, as they were known at another; the contract.

    Feast joins the features point in time: an entity's newest value not after `as_of` and not older than its view's
    ttl. Labels are those of `as_of` itself. The same call gives the same rows at any later time, whatever has been
    loaded since. Raises TrainingSetError where nothing was known of `as_of` at `known_at`, where it has no labels, or
    labels of one class.
    """
    with tables_known_at(settings, extract, as_of=as_of, known_at=known_at) as tables:
        _check(tables, extract, as_of, known_at)
        entities = _labelled(tables, extract, as_of)
        with feature_store(settings, offline_schema=tables.schema) as store, quiet():
            service = store.get_feature_service(feature_service)
            contract = read_contract(store, service)
            return store.get_historical_features(entities, features=service).to_df(), contract


def newest_labelled_month(settings: Settings, extract: ExtractSchema) -> datetime:
    """The newest moment that has both features and labels. Raises TrainingSetError where there is none."""
    now = datetime.now(UTC)
    with tables_known_at(settings, extract, as_of=now, known_at=now) as tables:
        query = sql.SQL("SELECT max(as_of) FROM {} WHERE as_of IN (SELECT as_of FROM {})").format(
            sql.Identifier(extract.entities), sql.Identifier(extract.labels.name)
        )
        row = tables.connection.execute(query).fetchone()
    if not row or row[0] is None:
        raise TrainingSetError("No month has features and labels yet: ingest an extract and the labels of its month.")
    moment: datetime = row[0]
    return moment


def _check(tables: KnownTables, extract: ExtractSchema, as_of: datetime, known_at: datetime) -> None:
    moment = f"as of {as_of.isoformat()}, as known at {known_at.isoformat()}"
    if not _values(tables, extract.entities, extract.entity, as_of, limit=1):
        raise TrainingSetError(f"There are no features {moment}: ingest that month first.")
    classes = _values(tables, extract.labels.name, extract.label, as_of, limit=2)
    if not classes:
        raise TrainingSetError(f"There are no labels {moment}: ingest them when the month is over, or go a month back.")
    if len(classes) == 1:
        raise TrainingSetError(f"Every label is {classes[0]} {moment}: a model needs both; check that month's labels.")


def _values(tables: KnownTables, table: str, column: str, as_of: datetime, *, limit: int) -> list[object]:
    query = sql.SQL("SELECT DISTINCT {} FROM {} WHERE as_of = %s LIMIT {}").format(
        sql.Identifier(column), sql.Identifier(table), sql.Literal(limit)
    )
    return [row[0] for row in tables.connection.execute(query, (as_of,))]


def _labelled(tables: KnownTables, extract: ExtractSchema, as_of: datetime) -> str:
    """Feast's entity query: each labelled entity once, with its newest known label of that very moment."""
    query = sql.SQL(
        "SELECT DISTINCT ON ({entity}) {entity}, as_of AS event_timestamp, {label} FROM {table}"
        " WHERE as_of = {as_of} ORDER BY {entity}, created_at DESC"
    ).format(
        entity=sql.Identifier(extract.entity),
        label=sql.Identifier(extract.label),
        table=sql.Identifier(extract.labels.name),
        as_of=sql.Literal(as_of),
    )
    return query.as_string(tables.connection)
