"""entities + labels as of a moment -> TrainingSet, through Feast's point-in-time join."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg import sql

from asof.errors import TrainingSetError
from asof.extract_schema import ExtractSchema
from asof.feature_contract import FeatureContract, model_frame
from asof.feature_store import feature_store, quiet, read_contract
from asof.settings import Settings
from asof.use_case import UseCase
from training.fingerprint import fingerprint
from training.known_at import KnownTables, tables_known_at
from training.split import held_out

FRAME_TYPES = {"Bool": "boolean", "Int64": "Int64", "Float64": "float64", "String": "object"}
"""Feast's types as columns of a TrainingSet's frame: each can hold a missing value without changing its type."""


@dataclass(frozen=True)
class TrainingSet:
    """One row per entity, sorted by entity: entity key, features in the contract's order, label (bool).

    `as_of` is the moment that features and labels describe, `known_at` the moment up to which rows were known,
    `fingerprint` a SHA-256 over every cell and what defined them.
    """

    frame: pd.DataFrame
    contract: FeatureContract
    label: str
    as_of: datetime
    known_at: datetime
    fingerprint: str

    @property
    def entities(self) -> "pd.Series[str]":
        """The entity keys, shape (rows,)."""
        return self.frame[self.contract.entity]

    @property
    def features(self) -> pd.DataFrame:
        """The model's input, shape (rows, features)."""
        return model_frame(self.frame, self.contract)

    @property
    def labels(self) -> NDArray[np.int64]:
        """0 or 1, shape (rows,)."""
        return self.frame[self.label].to_numpy(dtype=np.int64)

    def complete(self) -> "TrainingSet":
        """Only the rows that the service would score: no feature missing."""
        return self._rows(self.features.notna().all(axis="columns").to_numpy())

    def split(self, share: float) -> "tuple[TrainingSet, TrainingSet]":
        """The training side and the held-out side, by a stable hash of the entity."""
        out = held_out(self.entities, share)
        return self._rows(~out), self._rows(out)

    def _rows(self, mask: NDArray[np.bool_]) -> "TrainingSet":
        return replace(self, frame=self.frame.loc[mask].reset_index(drop=True))


def build_training_set(
    settings: Settings,
    use_case: UseCase,
    as_of: datetime,
    *,
    known_at: datetime | None = None,
    feature_service: str | None = None,
) -> TrainingSet:
    """Features and labels of every labelled entity as of one moment, as they were known at another (default: now).

    Feast joins the features point in time: an entity's newest value not after `as_of` and not older than its view's
    ttl. Labels are those of `as_of` itself. The same call with the same `known_at` gives the same rows at any later
    time, whatever has been loaded since. `feature_service` defaults to that of the use case's default estimator.

    Raises TrainingSetError where nothing was known of `as_of` at `known_at`, where it has no labels, or labels of one
    class.
    """
    now = datetime.now(UTC)
    known = known_at or now
    if known > now:
        raise TrainingSetError(
            f"known_at {known.isoformat()} lies in the future: what will be known then is not here yet."
        )
    if known < as_of:
        raise TrainingSetError(
            f"known_at {known.isoformat()} lies before as_of {as_of.isoformat()}: set it to a later moment."
        )
    name = feature_service or use_case.estimator().feature_service
    with tables_known_at(settings, use_case.extract, as_of=as_of, known_at=known) as tables:
        _check(tables, use_case.extract, as_of, known)
        entities = _labelled(tables, use_case.extract, as_of)
        with feature_store(settings, offline_schema=tables.schema) as store, quiet():
            service = store.get_feature_service(name)
            contract = read_contract(store, service)
            joined = store.get_historical_features(entities, features=service).to_df()
    frame = _canonical(joined, contract, use_case.extract.label)
    return TrainingSet(frame, contract, use_case.extract.label, as_of, known, fingerprint(frame, contract, as_of))


def newest_labelled(settings: Settings, use_case: UseCase) -> datetime:
    """The newest moment that has both features and labels. Raises TrainingSetError where there is none."""
    now = datetime.now(UTC)
    with tables_known_at(settings, use_case.extract, as_of=now, known_at=now) as tables:
        query = sql.SQL("SELECT max(as_of) FROM {} WHERE as_of IN (SELECT as_of FROM {})").format(
            sql.Identifier(use_case.extract.entities), sql.Identifier(use_case.extract.labels.name)
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


def _canonical(joined: pd.DataFrame, contract: FeatureContract, label: str) -> pd.DataFrame:
    """One order of rows and columns, one type for each column, whatever Feast and the driver made of them."""
    types = {feature.name: FRAME_TYPES[feature.dtype] for feature in contract.features}
    frame = joined[[contract.entity, *types, label]].astype({contract.entity: "object", **types, label: "bool"})
    return frame.sort_values(contract.entity, kind="stable", ignore_index=True)
