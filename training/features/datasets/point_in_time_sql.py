"""Feature views and a moment -> the SQL of their point-in-time join, by one of two strategies that give the same rows.

`INDEX_LOOKUP` asks each view's index for the one row of each labelled entity: the work grows with the entities, not
with the history. Without an index on (entity, time) it would read the whole source for each entity. `SET_JOIN` sorts
what each source holds within the view's ttl and joins the sets: it is never quadratic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from psycopg import sql

from asof.extract_schema import ExtractSchema

LABELLED = """
SELECT DISTINCT ON ({entity} COLLATE "C") {entity}, {label} FROM {labels}
WHERE as_of = {as_of} ORDER BY {entity} COLLATE "C", created_at DESC"""
JOIN = """
SELECT labelled.{entity}, {features}, labelled.{label}
FROM ({labelled}) AS labelled{views}
ORDER BY labelled.{entity} COLLATE "C" """


class JoinStrategy(Enum):
    """How a view is joined to the labelled entities: the SQL template of each way."""

    INDEX_LOOKUP = """
LEFT JOIN LATERAL (
    SELECT {columns} FROM {source} AS source
    WHERE {key} = labelled.{entity} AND {timely}
    ORDER BY {newest} LIMIT 1
) AS {view} ON true"""
    SET_JOIN = """
LEFT JOIN (
    SELECT DISTINCT ON ({key}) {key} AS {entity}, {columns} FROM {source} AS source
    WHERE {timely}
    ORDER BY {key}, {newest}
) AS {view} ON {view}.{entity} = labelled.{entity}"""


@dataclass(frozen=True)
class ViewSource:
    """The source of a feature view: `text` is a table or a query in brackets; `key`, `time`, `created` and the values
    of `columns` (by feature) are its columns. `ttl` is in seconds, 0 for none. `name` is the source's name in Feast,
    by which the table `loads` records its rows. `exact`: only a row of the moment itself counts.
    """

    view: str
    text: str
    key: str
    time: str
    created: str
    ttl: int
    columns: Mapping[str, str]
    name: str = ""
    exact: bool = False


def columns(sources: tuple[ViewSource, ...], extract: ExtractSchema) -> list[str]:
    """The column names of `join`, in order."""
    return [extract.entity, *(name for source in sources for name in source.columns), extract.label]


def join(
    sources: tuple[ViewSource, ...], extract: ExtractSchema, as_of: datetime, strategy: JoinStrategy
) -> sql.Composed:
    """Entity, features of each source, label: one row for each entity with a label of `as_of`, by code points.

    The features are those of the entity's newest row up to `as_of` and within the ttl, in its newest version; null if
    there is none.
    """
    names = {
        "entity": sql.Identifier(extract.entity),
        "label": sql.Identifier(extract.label),
        "labels": sql.Identifier(extract.labels.name),
        "as_of": sql.Literal(as_of),
    }
    features = (sql.Identifier(source.view, name) for source in sources for name in source.columns)
    views = (view_join(source, sql.Identifier(extract.entity), as_of, strategy) for source in sources)
    return sql.SQL(JOIN).format(
        labelled=sql.SQL(LABELLED).format(**names),
        features=sql.SQL(", ").join(features),
        views=sql.SQL("").join(views),
        **{name: names[name] for name in ("entity", "label")},
    )


def view_join(source: ViewSource, entity: sql.Identifier, as_of: datetime, strategy: JoinStrategy) -> sql.Composed:
    """The join of one source, under its view's name, to the entities that a query calls `labelled`."""
    time, created = sql.Identifier("source", source.time), sql.Identifier("source", source.created)
    moment = sql.Literal(as_of)
    timely = [sql.SQL("{} = {}" if source.exact else "{} <= {}").format(time, moment)]
    if source.ttl:
        timely.append(sql.SQL("{} >= {} - {} * interval '1 second'").format(time, moment, sql.Literal(source.ttl)))
    columns = (
        sql.SQL("{} AS {}").format(sql.Identifier("source", column), sql.Identifier(name))
        for name, column in source.columns.items()
    )
    return sql.SQL(strategy.value).format(
        entity=entity,
        view=sql.Identifier(source.view),
        source=sql.SQL(source.text),  # as in feature_repo/
        key=sql.Identifier("source", source.key),
        columns=sql.SQL(", ").join(columns),
        timely=sql.SQL(" AND ").join(timely),
        newest=sql.SQL("{} DESC, {} DESC").format(time, created),
    )
