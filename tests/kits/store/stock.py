"""Feature views of every type, and random values of each, including edge cases."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, String

from asof.features.feature_contract import Feature
from asof.features.feature_store import feature_store
from asof.inference.verdicts import StoredRow
from asof.settings import Settings, export
from training.features.materialisation.feature_registry import apply_features

STOCK = "postgres"
"""The `type` of Feast's own PostgreSQL online store in feature_store.yaml."""
STRANGE_IDS = [
    "", " ", "o'brien", '"quoted"', "back\\slash", "new\nline", "nul\0inside", "NULL", "{1,2}", "007", "1e3",
    "Ünïcode-用户-😀", "é", "e\u0301", "x" * 100_000,
]  # fmt: skip
USERS = [f"user-{number}" for number in range(120)] + STRANGE_IDS
NOBODY = ["nobody", "user-", "user-1 ", "USER-1", "x" * 99_999]
KINDS = {
    "bool_val": Bool,
    "int32_val": Int32,
    "int64_val": Int64,
    "float_val": Float32,
    "double_val": Float64,
    "string_val": String,
}


def register(settings: Settings) -> None:
    """Registers StreamFlow's features, and views of every type, one of them under another name."""
    export(settings)
    apply_features(settings)
    columns = "customer text, order_id bigint, paid boolean, clicks bigint[], as_of timestamptz"
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE customers ({columns})")
    customer = Entity(name="buyer", join_keys=["customer"], value_type=ValueType.STRING)
    order = Entity(name="order", join_keys=["order_id"], value_type=ValueType.INT64)
    source = PostgreSQLSource(name="customers", table="customers", timestamp_field="as_of")
    views = [
        FeatureView(
            name=name,
            entities=[customer],
            ttl=ttl,
            schema=[Field(name=f"{name}_{kind}", dtype=dtype) for kind, dtype in KINDS.items()],
            source=source,
            tags=tags,
        )
        for name, ttl, tags in (
            ("all types", timedelta(0), {"staleness": "flag"}),
            ("Renamed", timedelta(days=3, microseconds=7), {}),
            ("partly", timedelta(days=1), {}),
            ("never_materialised", timedelta(days=1), {}),
        )
    ]
    whole, renamed, partly, never = views
    by_number = FeatureView(name="by_number", entities=[order], schema=[Field(name="paid", dtype=Bool)], source=source)
    listed = FeatureView(
        name="listed", entities=[customer], schema=[Field(name="clicks", dtype=Array(Int64))], source=source
    )
    services = [
        FeatureService(
            name="every_type",
            features=[
                renamed.with_name("by another name"),
                partly[["partly_string_val", "partly_bool_val"]],
                whole,
                never[["never_materialised_int64_val"]],
            ],
        ),
        FeatureService(name="mapped", features=[whole.with_join_key_map({"customer": "referrer"})]),
        FeatureService(name="numbered", features=[by_number]),
        FeatureService(name="listed", features=[listed]),
    ]
    with feature_store(settings) as store:
        store.apply([customer, order, source, *views, by_number, listed, *services])


def drawn_value(kind: str, draw: random.Random) -> Value:
    """A value of that type: an ordinary one or an edge case."""
    numbers = [0, 1, -1, 2**31 - 1, -(2**31), draw.randint(-1000, 1000)]
    reals = [0.0, -0.0, 0.1, 1e300, float("inf"), float("-inf"), float("nan"), draw.gauss(0, 1)]
    choices: dict[str, list[Any]] = {
        "bool_val": [True, False],
        "int32_val": numbers,
        "int64_val": [*numbers, 2**63 - 1, -(2**63)],
        "float_val": [real for real in reals if abs(real) != 1e300],
        "double_val": reals,
        "string_val": ["", "no", "not applicable", "ünïcode", "long " * 500, draw.choice(STRANGE_IDS)],
    }
    return Value() if draw.random() < 0.1 else Value(**{kind: draw.choice(choices[kind])})


class Found(NamedTuple):
    """One feature of a row."""

    feature: Feature
    value: Any
    as_of: datetime | None


def found_in(row: StoredRow) -> list[Found]:
    """The row's features one by one."""
    return list(map(Found, row.features, row.values, row.moments))


def plain(rows: Sequence[StoredRow]) -> list[Any]:
    """With the type of each value, because 1, 1.0 and True are equal."""
    return [[(each.feature, type(each.value), each.value, each.as_of) for each in found_in(row)] for row in rows]
