"""Feature views and a moment -> the SQL of their point-in-time join, by one of three strategies with the same rows.

`INDEX_LOOKUP` asks each view's index for the one row of each labelled entity: the work grows with the entities, not
with the history. Without an index on (entity, time) it would read the whole source for each entity. `MOMENT_JOIN` joins
the rows of the moment itself as a set, and looks up only the entities without one: it takes half the time where most
have one. `SET_JOIN` sorts what each source holds within the view's ttl and joins the sets: it is never quadratic.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from psycopg import sql

from asof.extracts.schema import Column, ExtractSchema, Kind
from training.features.datasets.sample import sampled
from training.ranges.plan import Range

LABELLED = """
SELECT DISTINCT ON ({ordered}) {keys}, {label} FROM {labels}
WHERE {among} ORDER BY {ordered}, created_at DESC"""
JOIN = """
SELECT {keys}, {features}, labelled.{label}
FROM ({labelled}) AS labelled{views}
ORDER BY {ordered} """


class JoinStrategy(Enum):
    """How a view is joined to the labelled entities: the SQL template of each way."""

    INDEX_LOOKUP = """
LEFT JOIN LATERAL (
    SELECT {columns} FROM {source} AS source
    WHERE {same_entity} AND {timely}
    ORDER BY {newest} LIMIT 1
) AS {view} ON true"""
    MOMENT_JOIN = """
LEFT JOIN (
    SELECT DISTINCT ON ({keys}) {named_keys}, {columns} FROM {source} AS source
    WHERE {of_moment}
    ORDER BY {keys}, {newest}
) AS {newly} ON {joined}
LEFT JOIN LATERAL (
    SELECT {columns} FROM {source} AS source
    WHERE {newly}.{key} IS NULL AND {same_entity} AND {timely}
    ORDER BY {newest} LIMIT 1
) AS {earlier} ON true
CROSS JOIN LATERAL (SELECT {either}) AS {view}"""
    SET_JOIN = """
LEFT JOIN (
    SELECT DISTINCT ON ({keys}) {named_keys}, {columns} FROM {source} AS source
    WHERE {timely}
    ORDER BY {keys}, {newest}
) AS {view} ON {joined}"""


@dataclass(frozen=True)
class ViewSource:
    """The source of a feature view: `text` is a table or a query in brackets; `time`, `created` and the values of
    `keys` (by join key) and `columns` (by feature) are its columns. `ttl` is in seconds, 0 for none. `name` is the
    source's name in Feast, by which the table `loads` records its rows. `exact`: only a row of the moment itself
    counts.
    """

    view: str
    text: str
    keys: Mapping[str, str]
    time: str
    created: str
    ttl: int
    columns: Mapping[str, str]
    name: str = ""
    exact: bool = False


def columns(sources: tuple[ViewSource, ...], extract: ExtractSchema) -> list[str]:
    """The column names of `join`, in order."""
    return [*extract.keys, *(name for source in sources for name in source.columns), extract.label]


def join(
    sources: tuple[ViewSource, ...],
    extract: ExtractSchema,
    as_of: datetime,
    strategy: JoinStrategy,
    part: Range | None = None,
) -> sql.Composed:
    """Entity, features of each source, label: one row for each entity with a label of `as_of`, by code points.

    The features are those of the entity's newest row up to `as_of` and within the ttl, in its newest version; null if
    there is none. `part` limits the entities (None: all).
    """
    features = (sql.Identifier(source.view, name) for source in sources for name in source.columns)
    views = (view_join(source, as_of, strategy, extract.keys[0], part) for source in sources)
    return sql.SQL(JOIN).format(
        keys=listed(map(_labelled, extract.keys)),
        features=listed(features),
        label=sql.Identifier(extract.label),
        labelled=labelled(extract, as_of, sql.Identifier(extract.label), part),
        views=sql.SQL("").join(views),
        ordered=listed(_ordered(key, _labelled(key.name)) for key in extract.key_columns),
    )


def labelled(
    extract: ExtractSchema, as_of: datetime, selected: sql.Composable, part: Range | None = None
) -> sql.Composed:
    """The keys and `selected` columns of each entity of the extract's sample with a label of `as_of`, in the label's
    newest version."""
    among: list[sql.Composable] = [sql.SQL("as_of = {}").format(sql.Literal(as_of))]
    keys = [sql.Identifier(key) for key in extract.keys]
    if part:
        among += part.conditions(keys)
    if extract.sample < 1:
        among.append(sampled(keys, extract.sample))
    return sql.SQL(LABELLED).format(
        keys=listed(keys),
        ordered=listed(_ordered(key, sql.Identifier(key.name)) for key in extract.key_columns),
        label=selected,
        labels=sql.Identifier(extract.labels.name),
        among=sql.SQL(" AND ").join(among),
    )


def view_join(
    source: ViewSource, as_of: datetime, strategy: JoinStrategy, first_key: str = "", part: Range | None = None
) -> sql.Composed:
    """The join of one source, under its view's name, to the entities that a query calls `labelled`.

    Where these are those of a range, a set is joined of the rows whose value of the first key it may have.
    """
    time, created = sql.Identifier("source", source.time), sql.Identifier("source", source.created)
    moment = sql.Literal(as_of)
    timely: list[sql.Composable] = [sql.SQL("{} = {}" if source.exact else "{} <= {}").format(time, moment)]
    if source.ttl:
        timely.append(sql.SQL("{} >= {} - {} * interval '1 second'").format(time, moment, sql.Literal(source.ttl)))
    among = _among(source, first_key, part)
    columns = (
        sql.SQL("{} AS {}").format(sql.Identifier("source", column), sql.Identifier(name))
        for name, column in source.columns.items()
    )
    keys = {name: sql.Identifier("source", column) for name, column in source.keys.items()}
    newly, earlier = f"{source.view} newly", f"{source.view} earlier"  # no view has a space in its name
    alias = newly if strategy is JoinStrategy.MOMENT_JOIN else source.view
    return sql.SQL(strategy.value).format(
        view=sql.Identifier(source.view),
        newly=sql.Identifier(newly),
        earlier=sql.Identifier(earlier),
        source=sql.SQL(source.text),  # as in feature_repo/
        key=sql.Identifier(next(iter(keys))),
        keys=listed(keys.values()),
        named_keys=listed(sql.SQL("{} AS {}").format(key, sql.Identifier(name)) for name, key in keys.items()),
        same_entity=_same(keys),
        joined=_same({name: sql.Identifier(alias, name) for name in keys}),
        columns=listed(columns),
        either=listed(_either(name, newly, earlier, next(iter(keys))) for name in source.columns),
        of_moment=sql.SQL(" AND ").join([sql.SQL("{} = {}").format(time, moment), *among]),
        timely=sql.SQL(" AND ").join([*timely, *(among if strategy is JoinStrategy.SET_JOIN else ())]),
        newest=sql.SQL("{} DESC, {} DESC").format(time, created),
    )


def _among(source: ViewSource, first_key: str, part: Range | None) -> list[sql.Composable]:
    """The conditions on the source's rows that those of a range meet."""
    if part is None or first_key not in source.keys:
        return []
    return part.first_key_conditions(sql.Identifier("source", source.keys[first_key]))


def _either(name: str, newly: str, earlier: str, key: str) -> sql.Composed:
    """A column of the row of the moment, or of an earlier one where there is none."""
    return sql.SQL("CASE WHEN {} IS NULL THEN {} ELSE {} END AS {}").format(
        sql.Identifier(newly, key), sql.Identifier(earlier, name), sql.Identifier(newly, name), sql.Identifier(name)
    )


def _ordered(key: Column, name: sql.Composable) -> sql.Composable:
    """Text by code points, whatever the collation of the database."""
    return sql.SQL('{} COLLATE "C"').format(name) if key.kind is Kind.TEXT else name


def _labelled(key: str) -> sql.Composed:
    return sql.SQL("labelled.{}").format(sql.Identifier(key))


def _same(keys: Mapping[str, sql.Composable]) -> sql.Composed:
    equal = (sql.SQL("{} = {}").format(key, _labelled(name)) for name, key in keys.items())
    return sql.SQL(" AND ").join(equal)


def listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    """The parts with commas between them."""
    return sql.SQL(", ").join(parts)
