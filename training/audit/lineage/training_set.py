"""A version's facts -> the origin of its training set: the loads of its rows, or the use case's own data set.

The rows are those of the training set's join, as the tables were known then, without corrected rows or later loads.
`training.audit.reproduction` proves that the rows are the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from psycopg import sql

from asof.errors import TrainingSetError
from asof.extracts.schema import ExtractSchema
from asof.model_facts import ModelFacts
from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from training.audit.lineage.loads import Load, Loads
from training.data.snapshots.reading.known_at import KnownTables, tables_known_at
from training.features.datasets.dataset import build_training_set
from training.features.datasets.point_in_time import read_sources
from training.features.datasets.point_in_time_sql import JoinStrategy, ViewSource, join, labelled

COUNT_BY_TIMES = """
SELECT as_of, created_at, count(*) FROM ({rows}) AS used WHERE as_of IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"""


@dataclass(frozen=True)
class Share:
    """The number of a training set's rows with these times, in UTC, and their load (None: not recorded)."""

    as_of: datetime
    created_at: datetime
    rows: int
    load: Load | None


@dataclass(frozen=True)
class SourceRows:
    """The rows of a training set that came from one feature view or the labels' table."""

    source: str
    table: str
    shares: tuple[Share, ...]


@dataclass(frozen=True)
class SetOrigin:
    """`rows` is the number of labelled rows now. `sources` is empty if the rows come from no database.

    `broken` has one sentence for each part that could not be traced, `deduced` for what is inferred, not recorded.
    """

    fingerprint: str
    rows_digest: str
    as_of: datetime
    known_at: datetime
    feature_service: str
    contract_digest: str
    rows: int
    sources: tuple[SourceRows, ...]
    deduced: tuple[str, ...]
    broken: tuple[str, ...]


def set_origin(settings: Settings, use_case: UseCase, facts: ModelFacts) -> SetOrigin:
    """The origin of the rows that the model was trained on."""
    origin = SetOrigin(
        fingerprint=facts.fingerprint,
        rows_digest=facts.rows_digest,
        as_of=facts.as_of,
        known_at=facts.known_at,
        feature_service=facts.contract.feature_service,
        contract_digest=facts.contract.digest,
        rows=0,
        sources=(),
        deduced=(),
        broken=(),
    )
    try:
        if isinstance(use_case.source, FromStore):
            return _from_store(settings, use_case.sampled(facts.sample), facts, origin)
        return _own(settings, use_case, facts, origin)
    except TrainingSetError as error:
        return replace(origin, broken=(str(error),))


def _own(settings: Settings, use_case: UseCase, facts: ModelFacts, origin: SetOrigin) -> SetOrigin:
    """A use case's own data set has no loads: only whether it has changed is known."""
    now = build_training_set(settings, use_case, facts.as_of, known_at=facts.known_at)
    changed = f"The use case's own data set has changed: its digest is {now.rows_digest} now."
    same = now.rows_digest == facts.rows_digest
    return replace(origin, rows=len(now.frame), broken=() if same else (changed,))


def _from_store(settings: Settings, use_case: UseCase, facts: ModelFacts, origin: SetOrigin) -> SetOrigin:
    extract = use_case.extract
    contract, sources = read_sources(settings, facts.contract.feature_service, use_case.given)
    deduced = ["The rows are those that the training set's join returns now, as known then."]
    if contract != facts.contract:
        deduced.append(f"{contract.feature_service} is defined otherwise now: its present views were read.")
    with tables_known_at(settings, extract, as_of=facts.as_of, known_at=facts.known_at) as tables:
        loads = Loads(tables.connection)
        rows = tuple(_source_rows(tables, loads, extract, facts.as_of, sources))
        broken = tuple(_broken(loads, rows))
    count = sum(share.rows for share in rows[-1].shares)
    if not count:
        raise TrainingSetError(f"The labels as of {facts.as_of}, known at {facts.known_at}, are no longer there.")
    return replace(origin, rows=count, sources=rows, deduced=tuple(deduced), broken=broken)


def _source_rows(
    tables: KnownTables, loads: Loads, extract: ExtractSchema, as_of: datetime, sources: Sequence[ViewSource]
) -> Iterator[SourceRows]:
    """Those of each view, of the given features, and of the labels."""
    for source in sources:
        times = replace(source, columns={"as_of": source.time, "created_at": source.created})
        yield _shares(tables, loads, (source.view, source.name), join((times,), extract, as_of, JoinStrategy.SET_JOIN))
    labels = labelled(extract, as_of, sql.SQL("as_of, created_at"))
    yield _shares(tables, loads, (extract.labels.name, extract.labels.name), labels)


def _shares(tables: KnownTables, loads: Loads, name: tuple[str, str], rows: sql.Composed) -> SourceRows:
    view, table = name
    with tables.connection.transaction():
        tables.connection.execute("SET LOCAL enable_nestloop = off")  # as in `training.features.datasets.point_in_time`
        counts = tables.connection.execute(sql.SQL(COUNT_BY_TIMES).format(rows=rows)).fetchall()
    shares = (
        Share(as_of.astimezone(UTC), created_at.astimezone(UTC), count, loads.of(table, as_of, created_at))
        for as_of, created_at, count in counts
    )
    return SourceRows(view, table, tuple(shares))


def _broken(loads: Loads, sources: Sequence[SourceRows]) -> Iterator[str]:
    for source in sources:
        for share in source.shares:
            rows = f"{source.table} as of {share.as_of}, created at {share.created_at}"
            if sentence := loads.problem(source.table, share.load, rows):
                yield sentence
