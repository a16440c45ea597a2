"""The query of a materialisation: a feature view and Feast's retrieval job in, one query for the transfer out, or None.

None means that only Feast's own way gives the right rows: the view transforms, aggregates, filters or validates, its
table has other features, or SQL does not convert a column's type as Feast does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.compute_engines.dag.context import ColumnInfo
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from psycopg import Connection

from online_store.relaying.casts import feature_cast, key_cast, moment_cast
from online_store.schema.layout import Column, Layout
from online_store.schema.names import literal, quoted

UNSUPPORTED_FIELDS = (
    "aggregations",
    "enable_validation",
    "feature_transformation",
    "filter",
    "offline",
    "source_views",
)
"""Parts of a view that only Feast's engine handles."""


@dataclass(frozen=True)
class RetrievalJob:
    """Feast's retrieval job: its SQL, the roles of its columns, and whether it returns each entity once."""

    sql: str
    columns: ColumnInfo
    unique: bool


@dataclass(frozen=True)
class Transfer:
    """The query of the staging table's columns, and one of at least its entities, for the planner to estimate."""

    query: str
    entities: str


def is_plain(view: FeatureView) -> bool:
    """Whether the view takes the rows of a PostgreSQL source unchanged."""
    if type(view) is not FeatureView or not view.online or not isinstance(view.source, PostgreSQLSource):
        return False
    if any(getattr(view, each, None) for each in UNSUPPORTED_FIELDS):
        return False
    return not any(field.vector_index for field in view.features)


def transfer_of(source: Connection[Any], job: RetrievalJob, layout: Layout, view: FeatureView) -> Transfer | None:
    """Runs the job's SQL with LIMIT 0, for its types. Raises psycopg.Error."""
    if {each.name for each in layout.features} != {field.name for field in view.features}:
        return None
    types = _types(source, job.sql)
    if types is None:
        return None
    sources = {(job.columns.field_mapping or {}).get(name, name): name for name in types}
    casts = [
        *(_cast(key_cast, each, sources, types) for each in layout.keys),
        *(_cast(feature_cast, each, sources, types) for each in layout.features),
        _moment(job.columns.ts_col, types),
        _moment(job.columns.created_ts_col, types) if job.columns.created_ts_col else "NULL::timestamptz",
    ]
    if any(each is None for each in casts):
        return None
    query = f"SELECT {', '.join(map(str, casts))} FROM ({_once(job)}) AS q"
    return Transfer(query, _entities(job, view.source))


def _types(source: Connection[Any], sql: str) -> Mapping[str, int] | None:
    """Each column's type; None where two columns share a name."""
    described = source.execute(f"SELECT * FROM ({sql}) AS q LIMIT 0".encode()).description or ()
    types = {each.name: each.type_code for each in described}
    return types if len(types) == len(described) else None


def _cast(
    cast: Callable[[str, int, str], str | None], column: Column, sources: Mapping[str, str], types: Mapping[str, int]
) -> str | None:
    if column.name == DUMMY_ENTITY_ID:
        return f"{literal(DUMMY_ENTITY_VAL)}::text"
    name = sources.get(column.name)
    return cast(f"q.{quoted(name)}", types[name], column.feast_type) if name else None


def _moment(name: str, types: Mapping[str, int]) -> str | None:
    return moment_cast(f"q.{quoted(name)}", types[name]) if name in types else None


def _entities(job: RetrievalJob, source: PostgreSQLSource) -> str:
    keys = ", ".join(quoted(each) for each in job.columns.join_keys)
    return f"SELECT DISTINCT {keys} FROM {source.get_table_query_string()} AS every" if keys else "SELECT"


def _once(job: RetrievalJob) -> str:
    """Each entity's newest row; as in Feast, an unknown created timestamp is the oldest."""
    if job.unique:
        return job.sql
    keys = [f"every.{quoted(each)}" for each in job.columns.join_keys]
    times = (job.columns.ts_col, job.columns.created_ts_col)
    order = ", ".join([*keys, *(f"every.{quoted(each)} DESC NULLS LAST" for each in times if each)])
    one, end = (f"DISTINCT ON ({', '.join(keys)})", "") if keys else ("", " LIMIT 1")
    return f"SELECT {one} every.* FROM ({job.sql}) AS every ORDER BY {order}{end}"
