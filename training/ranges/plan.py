"""Snapshot tables -> ranges of keys that together have every entity once.

Bounds are compared by the database alone, in the order of the key's own column: only that order can use its index, and
whatever the collation, an entity is in exactly one range. How even the ranges are depends on a sample; nothing else
does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import LiteralString

import psycopg
from psycopg import sql

from asof.extracts.schema import ExtractSchema
from asof.features.join_keys import Entity, keys_of_extract
from training.data.snapshots.reading.known_at import KnownTables
from training.ranges.query_plan import expected_rows

RANGE_USERS = 100_000
"""Entities in a range: about two seconds of scoring, which is what a lost worker costs."""
SAMPLED_PAGES = 5_000
"""40 MB: five pages for each of a thousand ranges. A smaller table is read whole, and cut exactly."""

PAGES = """
SELECT coalesce(sum(pg_relation_size(oid)), 0) / current_setting('block_size')::int FROM pg_class
WHERE oid = %(table)s::regclass OR oid IN (SELECT relid FROM pg_partition_tree(%(table)s::regclass))"""
NEWEST = "SELECT max(as_of) FROM {table} WHERE as_of <= {as_of}"
OF_MOMENT = "SELECT FROM {table} WHERE as_of = {moment}"
ENTITIES = "SELECT DISTINCT {keys} FROM {table}{sample} WHERE as_of <= {as_of} AND created_at <= {known_at}"
ORDERED = "{entities} ORDER BY {keys}"
SAMPLE = " TABLESAMPLE SYSTEM ({percent}) REPEATABLE (0)"
FROM, BELOW = "({columns}) >= ({values})", "({columns}) < ({values})"
FIRST_FROM, FIRST_UP_TO = "{column} >= {value}", "{column} <= {value}"


@dataclass(frozen=True)
class Range:
    """The entities with a key from `low` on and below `high` (None: no bound), as of and as known at two moments.

    `number` is its place among all ranges of the plan, from 0.
    """

    number: int
    low: Entity | None
    high: Entity | None
    as_of: datetime
    known_at: datetime

    def conditions(self, columns: Sequence[sql.Composable]) -> list[sql.Composable]:
        """The conditions on the columns of all keys, in their order."""
        bounds: list[tuple[LiteralString, Entity | None]] = [(FROM, self.low), (BELOW, self.high)]
        return [
            sql.SQL(text).format(columns=_listed(columns), values=_listed(map(sql.Literal, _values(bound))))
            for text, bound in bounds
            if bound is not None
        ]

    def first_key_conditions(self, column: sql.Composable) -> list[sql.Composable]:
        """The conditions on the column of the first key that all rows of the range meet, and few others."""
        bounds: list[tuple[LiteralString, Entity | None]] = [(FIRST_FROM, self.low), (FIRST_UP_TO, self.high)]
        return [
            sql.SQL(text).format(column=column, value=sql.Literal(_values(bound)[0]))
            for text, bound in bounds
            if bound is not None
        ]


def ranges_between(cuts: Sequence[Entity], *, as_of: datetime, known_at: datetime) -> list[Range]:
    """The ranges that begin at the start and at each of n ascending entities: n + 1."""
    bounds = pairwise([None, *cuts, None])
    return [Range(number, low, high, as_of, known_at) for number, (low, high) in enumerate(bounds)]


def cut_points(
    tables: KnownTables, extract: ExtractSchema, *, as_of: datetime, known_at: datetime, size: int
) -> list[Entity]:
    """The entities at which ranges of about `size` entities begin, in order; exact where the table is small."""
    keys, connection = keys_of_extract(extract), tables.connection
    table = sql.Identifier("public", extract.entity_table)
    parts = {
        "keys": _listed(map(sql.Identifier, keys.names)),
        "table": table,
        "as_of": sql.Literal(as_of),
        "known_at": sql.Literal(known_at),
    }
    percent = 100 * SAMPLED_PAGES / max(1, _pages(connection, table))
    exact = percent >= 100
    share = sql.SQL("" if exact else SAMPLE).format(percent=sql.Literal(percent))
    drawn = sql.SQL(ENTITIES).format(sample=share, **parts)
    sample = connection.execute(sql.SQL(ORDERED).format(entities=drawn, keys=parts["keys"])).fetchall()
    population = len(sample) if exact else max(len(sample), _population(connection, parts))
    step = max(1, round(size * len(sample) / max(1, population)))
    return [keys.from_row(each) for each in sample[step::step]]


def _population(connection: psycopg.Connection, parts: Mapping[str, sql.Composable]) -> int:
    """The entities of the newest moment, as the planner expects them. How many different ones the whole table has it
    guesses from statistics, which autovacuum collects for partitions only.
    """
    (moment,) = connection.execute(sql.SQL(NEWEST).format(**parts)).fetchone() or (None,)
    return expected_rows(connection, sql.SQL(OF_MOMENT).format(moment=sql.Literal(moment), **parts))


def without_rules(extract: ExtractSchema) -> ExtractSchema:
    """For a work that is sent to other processes, as functions of a use case may not be pickled."""
    tables = tuple(replace(table, rules=()) for table in extract.tables)
    return replace(extract, tables=tables, labels=replace(extract.labels, rules=()))


def _pages(connection: psycopg.Connection, table: sql.Identifier) -> int:
    """Of a table, or of all its partitions."""
    row = connection.execute(PAGES, {"table": table.as_string(connection)}).fetchone()
    return int(row[0]) if row else 0


def _values(entity: Entity) -> tuple[object, ...]:
    return entity if isinstance(entity, tuple) else (entity,)


def _listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
