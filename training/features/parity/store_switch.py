"""The online store in use -> another one: filled from the snapshots, compared value by value, and only then chosen."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg import sql

from asof.errors import ConfigurationError, DataError
from asof.extract_schema import ExtractSchema
from asof.features.feature_store import feature_store, registered_features
from asof.settings import Settings
from asof.use_case import UseCase
from training.data.snapshots.snapshot import prepare_tables
from training.data.snapshots.tables import Connection
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise
from training.features.materialisation.watermarks import forget_store, last_moment
from training.features.parity.check import CHUNK
from training.features.parity.online_side import OnlineSide
from training.features.parity.tally import Column, Example, Tally
from training.features.parity.verdicts import Verdict

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
    query = sql.SQL(PAGE).format(entity=sql.Identifier(extract.entity), entities=sql.Identifier(extract.entity_table))
    last = ""
    while page := [row[0] for row in connection.execute(query, (last, CHUNK))]:
        yield page
        last = page[-1]


VARIABLE = "ASOF_ONLINE_STORE"


@dataclass(frozen=True)
class StoreSwitch:
    """What was done; `as_of` is the moment that both stores show, None where nothing was materialised yet."""

    before: str
    after: str
    as_of: datetime | None
    users: int
    values: int
    dropped: bool


def switch_store(
    settings: Settings,
    use_case: UseCase,
    to: str,
    *,
    file: Path,
    drop: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> StoreSwitch:
    """Fills the store of Feast's type `to` as the one in use is filled, and names it in the settings' `file`.

    The store in use is left as it is, and goes on being read until the services are started anew; with `drop` its
    tables are deleted at the end. Raises DataError where the two differ: then nothing has changed but the new store;
    ConfigurationError where `to` is the one in use: to fill it anew would lose what others wrote.
    """
    if to == settings.online_store:
        raise ConfigurationError(f"{to} is the online store in use: `python -m flows ingest --whole` fills it anew.")
    target = settings.model_copy(update={"online_store": to})
    prepare_tables(settings, use_case.extract)
    moment = _fill(settings, target, progress)
    compared = compare_stores(settings, target, use_case.extract, progress=progress)
    if compared.differences:
        raise DataError(_difference(compared, settings.online_store, to))
    _choose(file, to)
    if drop:
        _drop(settings)
    return StoreSwitch(settings.online_store, to, moment, compared.users, compared.values, drop)


def _fill(settings: Settings, target: Settings, progress: Callable[[str], None]) -> datetime | None:
    with psycopg.connect(settings.conninfo()) as connection:
        moment = last_moment(connection)
    apply_features(target)
    if moment:
        materialise(target, as_of=moment, whole=True, progress=progress)
    return moment


def _difference(compared: StoreParity, before: str, after: str) -> str:
    shown = "; ".join(
        f"{each.entity} {each.view}:{each.feature} is {each.offline} of {each.offline_as_of} in {before}, "
        f"{each.online} of {each.online_as_of} in {after}"
        for each in compared.examples[:3]
    )
    return (
        f"{compared.differences:,} of {compared.values:,} values differ, so {before} stays in use ({shown}). What the "
        "snapshots hold and the store in use does not: run `python -m flows ingest`. What was written into it by "
        "others (pushed) is not in the snapshots: write it into the new store, too."
    )


def _choose(file: Path, to: str) -> None:
    """In the settings' file, whose other lines stay as they are."""
    from dotenv import set_key

    set_key(file, VARIABLE, to, quote_mode="never")


def _drop(settings: Settings) -> None:
    with psycopg.connect(settings.conninfo()) as connection:
        forget_store(connection, settings.online_store)
    with feature_store(settings) as store:
        views = store.list_feature_views()
        store.provider.online_store.teardown(store.config, views, store.list_entities())
