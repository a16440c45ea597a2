"""The values behind the answers that count, streamed by one COPY for each version and window.

The answers are those of `monitoring.outcomes.answers`: the first of each entity at each moment.
"""

from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString

import psycopg
import pyarrow as arrow
from psycopg import sql

from asof.ledger.model_record import FLOATS, INTEGERS
from asof.ledger.outcomes.report import answers_requests
from asof.ledger.schema import NOT_HYPOTHETICAL
from asof.settings import Settings
from asof.use_case import UseCase
from monitoring.measuring.census import AnsweringModel
from monitoring.measuring.periods import window_column, window_ends
from monitoring.records.figure import VersionWindow
from training.data.snapshots.reading.copy_query import copy_rows

# A window's answers come after its moment, or up to 31 days before it where a value was from the future.
VALUES: LiteralString = """
SELECT {columns} FROM (
    SELECT DISTINCT ON ({unit}) p.* FROM ledger.predictions p
    WHERE p.model = ANY({models}) AND p.status = 200 AND {real} AND {window} = {as_of}
        AND p.at BETWEEN {first} - interval '31 days' AND {known_at}
    ORDER BY {unit}, p.at, p.request, p.item
) p WHERE num_nonnulls(p.floats, p.integers, p.texts) > 0"""
BY_ENTITY: LiteralString = 'p.target_as_of, p.entity COLLATE "C"'
BY_REQUEST: LiteralString = "p.request, p.item"
RANK: LiteralString = "hashtextextended(coalesce(p.entity, p.request::text || coalesce(p.item, -1)), 0)"
"""The same for each entity in every window, so a sample by it is the same each time."""
WHICH = {"rank": arrow.int64(), "request": arrow.string(), "item": arrow.int64(), "entity": arrow.string()}
"""The columns before those of the features."""
TYPES = {FLOATS: arrow.float64(), INTEGERS: arrow.int64()}


def stream_values(
    settings: Settings, use_case: UseCase, of: VersionWindow, *, models: Sequence[AnsweringModel], known_at: datetime
) -> Generator[arrow.Table, None, None]:
    """Tables with the columns of WHICH and one for each feature, in the order of the contract; nulls are null.

    `models` are all of the version. Nothing is yielded where they have no features. A connection is
    open until the generator is exhausted or closed.
    """
    places = _places(models)
    if not places:
        return
    types = WHICH | {name: TYPES.get(each[0]["kind"], arrow.string()) for name, each in places.items()}
    values = [_value(each, models) for each in places.values()]
    columns = [*map(sql.SQL, (RANK, "p.request::text", "p.item", "p.entity")), *values]
    with psycopg.connect(settings.ledger_conninfo(work_mem="64MB")) as connection:
        yield from copy_rows(connection, _query(use_case, of, models, known_at, columns), types)


Place = Mapping[str, Any]


def _places(models: Sequence[AnsweringModel]) -> dict[str, list[Place]]:
    """For each feature of the newest model where each model keeps it; the models of one version have the same."""
    names = [each["name"] for each in models[-1].features]
    return {
        name: [
            {"model": model.id, **feature} for model in reversed(models) for feature in model.features
            if feature["name"] == name
        ]
        for name in names
    }  # fmt: skip


def _value(places: Sequence[Place], models: Sequence[AnsweringModel]) -> sql.Composable:
    """The value of a feature; a case for each model where they keep it otherwise, or not at all."""
    elements = {(each["kind"], each["place"]) for each in places}
    if len(elements) == 1 and len(places) == len(models):
        return _element(places[0])
    cases = [sql.SQL("WHEN {} THEN {}").format(sql.Literal(each["model"]), _element(each)) for each in places]
    return sql.SQL("CASE p.model {} END").format(sql.SQL(" ").join(cases))


def _element(place: Place) -> sql.Composed:
    return sql.SQL("{}[{}]").format(sql.Identifier("p", place["kind"]), sql.Literal(place["place"]))


def _query(
    use_case: UseCase,
    of: VersionWindow,
    models: Sequence[AnsweringModel],
    known_at: datetime,
    columns: Sequence[sql.Composable],
) -> sql.Composed:
    return sql.SQL(VALUES).format(
        columns=sql.SQL(", ").join(columns),
        unit=sql.SQL(BY_REQUEST if answers_requests(use_case) else BY_ENTITY),
        models=sql.Literal([each.id for each in models]),
        real=sql.SQL(NOT_HYPOTHETICAL),
        window=window_column(use_case),
        as_of=sql.Literal(of.as_of),
        first=sql.Literal(window_ends(use_case, of.as_of)[0]),
        known_at=sql.Literal(known_at),
    )
