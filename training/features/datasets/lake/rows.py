"""A lake -> the rows of a training set, by Feast's `get_historical_features` with its DuckDB offline store.

The definitions are those of Feast's registry, with the lake's files in place of their sources. The join is Feast's;
the rows, and so their digest and the fingerprint, are those of our join in PostgreSQL.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as arrow
from pyarrow import compute, dataset

from asof.errors import ConfigurationError, TrainingSetError
from asof.features.feast.imports import import_feast
from asof.features.feature_contract import FeatureContract
from asof.features.feature_store import quiet
from asof.features.join_keys import require_keys
from asof.settings import Settings
from asof.use_case import UseCase
from training.data.snapshots.erased.tombstones import read_tombstones
from training.features.datasets.lake.layout import AS_OF, CREATED, DAY, LABELS, Lake, again
from training.features.datasets.point_in_time import JoinedRows, check_labels, read_sources
from training.features.datasets.point_in_time_sql import JoinStrategy, ViewSource, join
from training.features.datasets.rows_digest import TYPES
from training.features.datasets.sample import is_sampled
from training.features.datasets.training_set import column_types, key_types

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

EVENT = "event_timestamp"


def lake_rows(
    settings: Settings, use_case: UseCase, lake: Lake, folder: Path, as_of: datetime, *, feature_service: str
) -> JoinedRows:
    """As `joined_rows`, with what was known at the lake's `known_at`.

    Raises ConfigurationError where DuckDB or Ibis is not installed, TrainingSetError where the lake is older than an
    erasure or than a view's definition, or has no labels of `as_of`.
    """
    if find_spec("duckdb") is None or find_spec("ibis") is None:
        raise ConfigurationError("A lake is read by DuckDB and Ibis: run `sh local/setup.sh requirements/lake.txt`.")
    extract, target = use_case.extract, use_case.target
    contract, views = read_sources(settings, feature_service)
    require_keys(extract, feature_service, contract.keys)
    if changed := [each.view for each in views if not lake.covers(each)]:
        raise TrainingSetError(f"{folder} is older than the definition of {', '.join(changed)}. {again(use_case)}")
    with psycopg.connect(settings.conninfo()) as connection:
        if len(read_tombstones(connection, use_case.name)) > lake.erasures:
            raise TrainingSetError(f"{folder} is older than an erasure. {again(use_case)}")
        definition = join(views, extract, as_of, JoinStrategy.INDEX_LOOKUP).as_string(connection)
    labelled = _labelled(folder, use_case, as_of)
    rows = _joined(folder, contract, views, labelled)
    types = column_types(contract, extract.label, target.label_type)
    typed = arrow.table({name: rows[name].cast(TYPES[feast_type]) for name, feast_type in types.items()})
    check_labels(typed[extract.label], target, as_of, lake.known_at)
    return JoinedRows(typed.sort_by([(key, "ascending") for key in extract.keys]), contract, definition)


def _labelled(folder: Path, use_case: UseCase, as_of: datetime) -> arrow.Table:
    """Keys, moment and label in its newest version, of the use case's sample."""
    keys, label = use_case.extract.keys, use_case.extract.label
    mine = (compute.field(DAY) == f"{as_of:%Y-%m-%d}") & (compute.field(AS_OF) == as_of)
    rows = dataset.dataset(folder / LABELS, partitioning="hive").to_table(filter=mine)
    if not len(rows):
        raise TrainingSetError(
            f"{folder} has no labels as of {as_of.isoformat()}: name another moment with --as-of. {again(use_case)}"
        )
    newest = rows.sort_by([(CREATED, "descending")]).group_by([*keys], use_threads=False)
    taken = newest.aggregate([(label, "first"), (AS_OF, "first")])
    if (share := use_case.sample) < 1:
        entities = zip(*(taken[key].to_pylist() for key in keys), strict=True)
        taken = taken.filter(arrow.array([is_sampled(each, share) for each in entities]))
    return taken.select([*keys, f"{label}_first", f"{AS_OF}_first"]).rename_columns([*keys, label, EVENT])


def _joined(folder: Path, contract: FeatureContract, views: Sequence[ViewSource], labelled: arrow.Table) -> arrow.Table:
    features = [f"{feature.view}:{feature.name}" for feature in contract.features]
    with _store(_definitions(folder, contract, views)) as store, quiet():
        return store.get_historical_features(labelled.to_pandas(), features).to_arrow()


@contextmanager
def _store(definitions: list[Any]) -> Iterator["FeatureStore"]:
    """A store with these definitions, whose registry is a temporary file."""
    import_feast()
    from feast import FeatureStore, RepoConfig

    with TemporaryDirectory(prefix="asof-lake-") as home:
        config = RepoConfig(
            project="lake",
            provider="local",
            registry=f"{home}/registry.db",
            offline_store={"type": "duckdb"},
            online_store={"type": "sqlite", "path": f"{home}/online.db"},
            entity_key_serialization_version=3,
            repo_path=Path(home),
        )
        store = FeatureStore(config=config)
        store.apply(definitions)
        yield store


def _definitions(folder: Path, contract: FeatureContract, views: Sequence[ViewSource]) -> list[Any]:
    import_feast()
    from feast import Entity, ValueType

    kinds = {"Int64": ValueType.INT64, "String": ValueType.STRING}
    types = key_types(contract.keys)
    keys = {name: Entity(name=name, join_keys=[name], value_type=kinds[types[name]]) for name in types}
    return [*keys.values(), *(_view(folder, contract, view, keys) for view in views)]


def _view(folder: Path, contract: FeatureContract, view: ViewSource, keys: dict[str, Any]) -> "FeatureView":
    from feast import FeatureView, Field, FileSource
    from feast import types as feast_types
    from feast.data_format import ParquetFormat

    types = key_types(contract.keys) | {each.name: each.dtype for each in contract.features}
    files = FileSource(
        name=view.view,
        path=str(folder.absolute() / view.view / "*" / "*.parquet"),
        file_format=ParquetFormat(),
        timestamp_field=AS_OF,
        created_timestamp_column=CREATED,
    )
    return FeatureView(
        name=view.view,
        entities=[keys[name] for name in view.keys],
        ttl=timedelta(seconds=view.ttl),
        schema=[Field(name=name, dtype=getattr(feast_types, types[name])) for name in (*view.keys, *view.columns)],
        source=files,
    )
