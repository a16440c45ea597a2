"""The online store in use -> another one: filled from the snapshots, compared value by value, and then selected."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg import sql

from asof.errors import ConfigurationError, DataError
from asof.extracts.schema import ExtractSchema
from asof.features.feature_store import feature_store, registered_features
from asof.features.join_keys import Entity, keys_of_extract
from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from asof.use_cases import others
from training.data.snapshots.owned_tables import table_exists
from training.data.snapshots.tables import Connection, prepare_tables
from training.features.materialisation.feature_registry import apply_features, check_features
from training.features.materialisation.materialise import materialise
from training.features.materialisation.watermarks import forget_watermarks, materialised_as_of
from training.features.parity.check import USERS_PER_READ
from training.features.parity.offline_side import after_entity, named
from training.features.parity.online_side import FeastSide, OnlineSide
from training.features.parity.tally import Example, FeatureColumn, Tally
from training.features.parity.verdicts import Verdict

USERS_PAGE = "SELECT DISTINCT {keys} FROM {entities} WHERE {after} ORDER BY {keys} LIMIT %s"


@dataclass(frozen=True)
class StoreParity:
    """The comparison of all users of any snapshot; in the examples `offline` is the first store."""

    users: int
    values: int
    differences: int
    examples: tuple[Example, ...]


def compare_stores(
    first: Settings, second: Settings, extract: ExtractSchema, *, progress: Callable[[str], None] = lambda _: None
) -> StoreParity:
    """Compares every feature of every view with no other join keys than the extract's in the online stores of two
    settings.
    """
    tally, keys = Tally(), keys_of_extract(extract)
    with ExitStack() as stack:
        stores = [stack.enter_context(feature_store(settings)) for settings in (first, second)]
        sides: list[OnlineSide] = [FeastSide(store, keys, registered_features(store, keys.names)) for store in stores]
        connection = stack.enter_context(psycopg.connect(first.conninfo(), autocommit=True))
        for users in _pages(connection, extract):
            first_values, second_values = (side.read(users) for side in sides)
            pairs = zip(sides[0].features, first_values, second_values, strict=True)
            tally.add(users, [FeatureColumn(*each, None) for each in pairs])
            progress(f"{tally.users:,} users compared")
    counted = [each.verdicts for each in tally.features()]
    values = sum(sum(verdicts.values()) for verdicts in counted)
    equal = sum(verdicts[Verdict.EQUAL] for verdicts in counted)
    return StoreParity(tally.users, values, values - equal, tally.all_examples())


def _pages(connection: Connection, extract: ExtractSchema) -> Iterator[list[Entity]]:
    keys = keys_of_extract(extract)
    last: Entity | None = None
    while True:
        values = () if last is None else keys.values(last)
        query = sql.SQL(USERS_PAGE).format(
            keys=named(keys.names), entities=sql.Identifier(extract.entity_table), after=after_entity(keys, last)
        )
        if not (page := [keys.from_row(row) for row in connection.execute(query, (*values, USERS_PER_READ))]):
            return
        yield page
        last = page[-1]


@dataclass(frozen=True)
class StoreSwitch:
    """What was done; `as_of` is the moment of both stores, None if nothing was materialised yet."""

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
    """Fills the online store of Feast's type `to` up to the moment of the one in use, and sets it in the env `file`.

    The store in use is read until the services restart; with `drop` its tables are deleted at the end. Raises DataError
    if the two differ, and then only the new store has changed; ConfigurationError if `to` is the one in use.
    """
    from dotenv import set_key

    if to == settings.online_store:
        raise ConfigurationError(f"{to} is the online store in use: `python -m flows ingest --whole` refills it.")
    target = settings.model_copy(update={"online_store": to})
    check_features(target, use_case)
    prepare_tables(settings, use_case.extract)
    moment = _fill(settings, target, progress)
    compared = _compare_all(settings, target, use_case, progress)
    if compared.differences:
        raise DataError(_difference(compared, settings.online_store, to))
    set_key(file, "ASOF_ONLINE_STORE", to, quote_mode="never")
    if drop:
        _drop(settings)
    return StoreSwitch(settings.online_store, to, moment, compared.users, compared.values, drop)


def _compare_all(
    settings: Settings, target: Settings, use_case: UseCase, progress: Callable[[str], None]
) -> StoreParity:
    """For the use case, and for each other one whose tables exist: all of them read the same store."""
    with psycopg.connect(settings.conninfo()) as connection:
        extracts = [
            each.extract
            for each in (use_case, *others(use_case.name))
            if isinstance(each.source, FromStore) and table_exists(connection, f"public.{each.extract.entity_table}")
        ]
    every = [compare_stores(settings, target, extract, progress=progress) for extract in extracts]
    return StoreParity(
        users=sum(each.users for each in every),
        values=sum(each.values for each in every),
        differences=sum(each.differences for each in every),
        examples=tuple(example for each in every for example in each.examples),
    )


def _fill(settings: Settings, target: Settings, progress: Callable[[str], None]) -> datetime | None:
    with psycopg.connect(settings.conninfo()) as connection:
        moment = materialised_as_of(connection)
    apply_features(target)
    if moment:
        materialise(target, as_of=moment, whole=True, progress=progress)
    return moment


def _difference(compared: StoreParity, before: str, after: str) -> str:
    examples = "; ".join(
        f"{each.entity} {each.view}:{each.feature} is {each.offline} of {each.offline_as_of} in {before}, "
        f"{each.online} of {each.online_as_of} in {after}"
        for each in compared.examples[:3]
    )
    return (
        f"{compared.differences:,} of {compared.values:,} values differ, so {before} stays in use ({examples}). If the "
        "store in use lacks rows of the snapshots, run `python -m flows ingest`. If others wrote (pushed) values into "
        "it, write them into the new store, too."
    )


def _drop(settings: Settings) -> None:
    with psycopg.connect(settings.conninfo()) as connection:
        forget_watermarks(connection, settings.online_store)
    with feature_store(settings) as store:
        views = store.list_feature_views()
        store.provider.online_store.teardown(store.config, views, store.list_entities())
