"""The same random rows in Feast's PostgreSQL store and in ours, written through Feast, and the readers of both."""

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from asof.features.feature_contract import FeatureContract
from asof.features.feature_store import configuration, feature_store
from asof.inference.verdicts import StoredRow
from asof.inference.wide_reader import WideReader
from asof.serving.features.store.feast_api import FeastReader, open_feast_reader
from asof.serving.features.store.opening import WIDE, open_reader
from asof.serving.features.store.reader import EntityReader
from asof.settings import Settings
from tests.kits.service import serving as kit
from tests.kits.service.serving import NOW, USER
from tests.kits.store import stock as stock_kit
from tests.kits.store.stock import KINDS, STOCK, STRANGE_IDS, USERS, drawn_value

KINDS_OF_STORE = (STOCK, WIDE)
KEEPABLE = [user for user in USERS if "\0" not in user]
"""The users whose ids PostgreSQL's text can hold."""
OF_EACH_TYPE = ["all types", "Renamed", "partly"]

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


@contextlib.contextmanager
def store_of(kind: str) -> Iterator[None]:
    """Sets the type of the online store in feature_store.yaml."""

    def changed(settings: Settings) -> dict[str, Any]:
        raw = configuration(settings)
        return raw | {"online_store": raw["online_store"] | {"type": kind}}

    with pytest.MonkeyPatch.context() as patch:
        for module in ("asof.features.feature_store", "asof.serving.features.store.opening"):
            patch.setattr(f"{module}.configuration", changed)
        yield


def register(settings: Settings) -> None:
    """Registers StreamFlow's views and views of every type, with empty tables in both stores."""
    with store_of(STOCK):
        stock_kit.register(settings)
    with store_of(WIDE):
        apply_all(settings)


def apply_all(settings: Settings) -> None:
    """Applies all registered objects, so that the configured online store creates its tables."""
    with feature_store(settings) as store:
        store.apply([*store.list_entities(), *store.list_feature_views()])


def write(settings: Settings, rows: Mapping[str, Sequence[Row]]) -> None:
    """Writes to both stores through Feast, view by view."""
    for kind in KINDS_OF_STORE:
        with store_of(kind), feature_store(settings) as store:
            for view, each in rows.items():
                store.provider.online_write_batch(store.config, store.get_feature_view(view), list(each), None)


def views_and_kinds(settings: Settings) -> dict[str, tuple[str, dict[str, str]]]:
    """The join key of each view, and the types of its features by name."""
    with feature_store(settings) as store:
        views = [store.get_feature_view(name) for name in (*USER, *OF_EACH_TYPE)]
    kinds = {dtype: kind for kind, dtype in KINDS.items()}
    return {
        view.name: (view.entity_columns[0].name, {each.name: kinds[each.dtype] for each in view.features})
        for view in views
    }


def drawn_rows(
    settings: Settings, seed: int, *, users: Sequence[str] = KEEPABLE, whole: bool = True, until: datetime = NOW
) -> dict[str, list[Row]]:
    """Rows of most users in every view, with edge cases; `whole`: with all features of the view, else some.

    They are of the four months before `until`, and some of the twelve days after it.
    """
    draw = random.Random(seed)
    rows: dict[str, list[Row]] = {}
    for view, (join_key, kinds) in views_and_kinds(settings).items():
        rows[view] = []
        for user in users:
            if draw.random() < 0.1:
                continue
            names = [name for name in kinds if whole or draw.random() < 0.5]
            moment = until - timedelta(seconds=draw.randint(-(10**6), 10**7), microseconds=draw.randint(0, 10**6))
            key = EntityKey(join_keys=[join_key], entity_values=[Value(string_val=user)])
            values = {name: keepable(kinds[name], draw) for name in names}
            if values:
                rows[view].append((key, values, moment, None))
    return rows


def keepable(kind: str, draw: random.Random) -> Value:
    """A value that PostgreSQL can store: no text with a NUL."""
    while "\0" in (value := drawn_value(kind, draw)).string_val:
        pass
    return value


@dataclass(frozen=True)
class Readers:
    """The readers of a contract: of our store directly, and of both stores through Feast."""

    wide: WideReader
    stock_by_feast: FeastReader
    wide_by_feast: FeastReader

    async def read(self, entities: Sequence[str]) -> dict[str, list[StoredRow]]:
        """The result of each by its name, with new connections; those of the arrays by `_columns`."""
        readers: dict[str, EntityReader] = {
            "wide": self.wide,
            "stock_by_feast": self.stock_by_feast,
            "wide_by_feast": self.wide_by_feast,
        }
        actual = {name: await reader.read(entities) for name, reader in readers.items()}
        for name in ("wide", "stock_by_feast"):
            columns = await readers[name].read_columns(entities)
            actual[f"{name}_columns"] = [columns.row(number) for number in range(len(entities))]
        for reader in readers.values():
            await reader.close()
        return actual


def wide(settings: Settings, contract: FeatureContract) -> WideReader:
    with store_of(WIDE):
        reader = open_reader(settings, contract)
    assert isinstance(reader, WideReader)
    return reader


def stock(settings: Settings, contract: FeatureContract) -> FeastReader:
    with store_of(STOCK):
        reader = open_reader(settings, contract)
    assert isinstance(reader, FeastReader)
    return reader


def stored(settings: Settings, service: str, users: Sequence[str]) -> list[StoredRow]:
    """The tables of Feast's store in SQL: each value with its own timestamp, unlike in Feast's responses."""
    contract = kit.registered_contract(settings, service)
    held: dict[tuple[str, str, bytes], tuple[Any, datetime]] = {}
    with psycopg.connect(settings.conninfo()) as connection:
        for view in contract.views:
            query = f'SELECT feature_name, entity_key, value, event_ts FROM online."asof_{view}"'
            for feature, key, value, moment in connection.execute(query.encode()):
                held[view, feature, key] = _plain(value), moment
    rows = []
    for user in users:
        key = serialize_entity_key(EntityKey(join_keys=[contract.entity], entity_values=[Value(string_val=user)]), 3)
        found = [held.get((each.view, each.name, key), (None, None)) for each in contract.features]
        rows.append(StoredRow(contract.features, [value for value, _ in found], [moment for _, moment in found]))
    return rows


def _plain(value: bytes) -> Any:
    message = Value.FromString(value)
    kind = message.WhichOneof("val")
    held = getattr(message, kind) if kind else None
    return held if held == held else None


def readers(settings: Settings, service: str) -> Readers:
    contract = kit.registered_contract(settings, service)
    with store_of(WIDE):
        wide_by_feast = open_feast_reader(settings, contract)
    return Readers(wide(settings, contract), stock(settings, contract), wide_by_feast)


STRANGE = [*STRANGE_IDS, *stock_kit.NOBODY]
