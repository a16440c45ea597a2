"""The snapshots as they were known at a moment -> a lake."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as arrow
from psycopg import sql
from pyarrow import compute, dataset

from asof.errors import ConfigurationError, TrainingSetError
from asof.files import write_whole
from asof.settings import Settings
from asof.use_case import UseCase
from training.data.snapshots.erased.tombstones import read_tombstones
from training.data.snapshots.reading.copy_query import copy_rows
from training.data.snapshots.reading.known_at import KnownTables, tables_known_at
from training.features.datasets.lake.layout import (
    AS_OF,
    CREATED,
    DAY,
    DESCRIPTION,
    LABELS,
    Lake,
    Part,
    columns_of,
    folder_of,
)
from training.features.datasets.point_in_time import read_sources
from training.features.datasets.point_in_time_sql import listed
from training.features.datasets.rows_digest import TYPES
from training.features.datasets.training_set import column_types

PARTITIONS = dataset.partitioning(arrow.schema([(DAY, arrow.string())]), flavor="hive")
QUERY = "SELECT {columns} FROM {source} AS source"
MICROSECONDS = "(extract(epoch FROM {}) * 1000000)::bigint"
MOMENTS = (AS_OF, CREATED)


def folder_of_lake(settings: Settings, to: Path | None) -> Path:
    """The folder as named, or else ASOF_LAKE. Raises ConfigurationError if there is none."""
    if folder := to or settings.lake:
        return folder.absolute()
    raise ConfigurationError("Where is the lake? Name a folder with --to, or set ASOF_LAKE.")


def export_lake(settings: Settings, use_case: UseCase, to: Path, *, known_at: datetime | None = None) -> Lake:
    """Writes the feature views of all estimators, and the labels; they replace those of before once they are whole.

    `known_at` defaults to now. Raises ConfigurationError if the use case's folder has other files, or if features come
    with the request, which are not Feast's; TrainingSetError if `known_at` lies in the future, or as `read_sources`.
    """
    now = datetime.now(UTC)
    if (known_at := known_at or now) > now:
        raise TrainingSetError(f"known_at {known_at.isoformat()} lies in the future: leave it out, or name another.")
    folder = folder_of(to, use_case)
    if folder.exists() and not (folder / DESCRIPTION).exists():
        raise ConfigurationError(f"{folder} is there already, and is no lake: name another folder.")
    if use_case.given:
        raise ConfigurationError(f"{use_case.name} has features that come with the request, which no lake has.")
    parts, types = _parts(settings, use_case)
    with _replacing(folder) as draft:
        with tables_known_at(settings, use_case.extract, as_of=known_at, known_at=known_at, bulk=True) as tables:
            erasures = len(read_tombstones(tables.connection, use_case.name))
            rows = {name: _write(tables, part, types, draft / name) for name, part in parts.items()}
        whole = {name: part.model_copy(update={"rows": rows[name]}) for name, part in parts.items()}
        lake = Lake(known_at=known_at, erasures=erasures, parts=whole)
        write_whole(draft / DESCRIPTION, lake.model_dump_json(indent=2))
    return lake


def _parts(settings: Settings, use_case: UseCase) -> tuple[dict[str, Part], dict[str, str]]:
    """Each view with all features that an estimator takes of it, and the labels; the Feast type of each column."""
    extract, parts, types = use_case.extract, dict[str, Part](), dict[str, str]()
    for service in sorted({estimator.feature_service for estimator in use_case.estimators.values()}):
        contract, views = read_sources(settings, service)
        types |= column_types(contract, extract.label, use_case.target.label_type)
        for view in views:
            known = parts[view.view].columns if view.view in parts else {}
            parts[view.view] = Part(source=view.text, columns={**known, **columns_of(view)})
    names = (*extract.keys, *MOMENTS, extract.label)
    parts[LABELS] = Part(source=f'"{extract.labels.name}"', columns={name: name for name in names})
    return parts, {**types, **dict.fromkeys(MOMENTS, "Int64")}


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A draft that takes the folder's place at the end of the block; what was interrupted is removed by the next."""
    draft, old = (folder.with_name(f".{folder.name}.{name}") for name in ("draft", "old"))
    for each in (draft, old):
        shutil.rmtree(each, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    yield draft
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _write(tables: KnownTables, part: Part, types: Mapping[str, str], folder: Path) -> int:
    """The number of rows."""
    arrow_types = {name: TYPES[types[name]] for name in part.columns}
    counts = list[int]()

    def batches() -> Iterator[arrow.RecordBatch]:
        for chunk in copy_rows(tables.connection, _query(part), arrow_types):
            counts.append(len(chunk))
            yield from _dated(chunk).to_batches()

    schema = _dated(arrow.schema(arrow_types).empty_table()).schema
    names = "rows-{i}.parquet"
    dataset.write_dataset(
        batches(), folder, schema=schema, format="parquet", partitioning=PARTITIONS, basename_template=names
    )
    return sum(counts)


def _query(part: Part) -> sql.Composed:
    """Moments are in microseconds since 1970."""
    columns = (_column(name, sql.Identifier("source", column)) for name, column in part.columns.items())
    return sql.SQL(QUERY).format(columns=listed(columns), source=sql.SQL(part.source))


def _column(name: str, column: sql.Identifier) -> sql.Composed:
    value = sql.SQL(MICROSECONDS).format(column) if name in MOMENTS else column
    return sql.SQL("{} AS {}").format(value, sql.Identifier(name))


def _dated(rows: arrow.Table) -> arrow.Table:
    """Moments as such, and the day of the partition."""
    for name in MOMENTS:
        moments = rows[name].cast(TYPES["UnixTimestamp"])
        rows = rows.set_column(rows.column_names.index(name), name, moments)
    return rows.append_column(DAY, compute.strftime(rows[AS_OF], "%Y-%m-%d").cast(arrow.string()))
