"""Two online stores of one project -> whether they hold the same of every user: value, type, moment and absence."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
from psycopg import sql

from asof.extract_schema import ExtractSchema
from asof.feature_store import feature_store, registered_features
from asof.settings import Settings
from training.parity.check import CHUNK
from training.parity.online_side import OnlineSide
from training.parity.tally import Column, Example, Tally
from training.parity.verdicts import Verdict
from training.tables import Connection

PAGE = "SELECT DISTINCT {entity} FROM {entities} WHERE {entity} > %s ORDER BY {entity} LIMIT %s"


@dataclass(frozen=True)
class StoreParity:
    """The comparison of all users that a snapshot has ever named; in the examples `offline` is the first store."""

    users: int
    values: int
    differences: int
    examples: tuple[Example, ...]


def compare_stores(
    first: Settings, second: Settings, extract: ExtractSchema, *, progress: Callable[[str], None] = lambda _: None
) -> StoreParity:
    """Every feature of every view, of users read in chunks. Each of the settings names one of the stores."""
    tally = Tally()
    with ExitStack() as stack:
        sides = [_side(stack, settings, extract.entity) for settings in (first, second)]
        connection = stack.enter_context(psycopg.connect(first.conninfo(), autocommit=True))
        for users in _pages(connection, extract):
            tally.add(users, _columns(sides, users))
            progress(f"{tally.users:,} users compared")
    counted = [each.verdicts for each in tally.features()]
    values = sum(sum(verdicts.values()) for verdicts in counted)
    equal = sum(verdicts[Verdict.EQUAL] for verdicts in counted)
    return StoreParity(tally.users, values, values - equal, tally.shown())


def _side(stack: ExitStack, settings: Settings, entity: str) -> OnlineSide:
    store = stack.enter_context(feature_store(settings))
    return OnlineSide(store, entity, registered_features(store))


def _columns(sides: Sequence[OnlineSide], users: Sequence[str]) -> list[Column]:
    first, second = (side.read(users) for side in sides)
    return [Column(*each, None) for each in zip(sides[0].features, first, second, strict=True)]


def _pages(connection: Connection, extract: ExtractSchema) -> Iterator[list[str]]:
    query = sql.SQL(PAGE).format(entity=sql.Identifier(extract.entity), entities=sql.Identifier(extract.entities))
    last = ""
    while page := [row[0] for row in connection.execute(query, (last, CHUNK))]:
        yield page
        last = page[-1]
