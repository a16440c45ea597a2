"""Copies in the online store: in the tables of our store and in those of Feast's own, whichever is in use now."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from asof.errors import FeatureContractMismatch
from asof.features.feast.registry import read_all
from asof.features.feature_store import configuration
from asof.use_cases import raw_tables
from online_store.erasing import Rows, counts, deletes, in_feast_table, in_view
from online_store.schema.layout import read_layout
from online_store.schema.tables import list_views
from training.data.snapshots.owned_tables import table_exists
from training.erasure.copies.databases.tables import forget
from training.erasure.work import NOT_COUNTED, Copy, Work

KNOWN_STORES = ("online_store.store.WideOnlineStore", "postgres")


def erase(work: Work) -> Iterator[Copy]:
    """Rows of each view of the use case that is keyed by all named keys."""
    store = configuration(work.settings)
    online, project = store["online_store"], store["project"]
    schema = str(online.get("db_schema") or online["user"]).strip()
    with psycopg.connect(work.settings.conninfo(), autocommit=True) as connection:
        views = _views(connection, project, work)
        for name in list_views(connection, schema, project):
            if re.sub(r"_v\d+$", "", name) in views or name in views:
                yield from _erase_wide(connection, work, (schema, project, name))
        for name in views:
            yield from _erase_stock(connection, work, schema, f"{project}_{name}")
    if online["type"] not in KNOWN_STORES:
        yield Copy(f"online store {online['type']}", NOT_COUNTED, "another store: delete the entity there")


def _views(connection: psycopg.Connection[Any], project: str, work: Work) -> list[str]:
    """The views on the raw tables of the use case."""
    try:
        every: Mapping[str, Any] = read_all(connection, project, "feature_view")
    except FeatureContractMismatch:  # nothing has been applied yet
        return []
    own = raw_tables(work.use_case)
    return [name for name, view in every.items() if view.spec.batch_source.name in own]


def _erase_wide(connection: psycopg.Connection[Any], work: Work, view: tuple[str, str, str]) -> Iterator[Copy]:
    schema, project, name = view
    layout = read_layout(connection, project, name, schema=schema)
    if work.subject.has([key.name for key in layout.keys]):
        count = in_view(layout, work.subject.keys, work.until, _rows(connection, work))
        yield _done(connection, work, Copy(f"{schema}.{layout.table}", count), [schema, layout.table])


def _erase_stock(connection: psycopg.Connection[Any], work: Work, schema: str, table: str) -> Iterator[Copy]:
    if table_exists(connection, f"{schema}.{table}"):
        full, rows = sql.Identifier(schema, table).as_string(connection), _rows(connection, work)
        count = in_feast_table(connection, full, work.subject.keys, work.until, rows)
        yield _done(connection, work, Copy(f"{schema}.{table}", count), [schema, table])


def _rows(connection: psycopg.Connection[Any], work: Work) -> Rows:
    return deletes(connection) if work.apply else counts(connection)


def _done(connection: psycopg.Connection[Any], work: Work, copy: Copy, table: Sequence[str]) -> Copy:
    if work.apply and copy.count:
        forget(connection, [table])
    return copy
