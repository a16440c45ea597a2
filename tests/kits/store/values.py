"""Random Values of every Feast type, and a view with a feature of each."""

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from feast import Entity, FeatureView, Field, ValueType
from feast.infra.offline_stores.file_source import FileSource
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float64, String, Struct, from_value_type

from online_store.schema.values import kind_of

OTHERWISE = {"VALUE_LIST": "list_val", "VALUE_SET": "set_val"}
CPP_TYPES = {1: "int32", 2: "int64", 5: "double", 6: "float", 7: "bool", 9: "string"}
WITHOUT_FIELDS = {ValueType.UNKNOWN, ValueType.NULL}
FEAST_TYPES = {
    each.name: Struct({"a": String, "b": Float64}) if each is ValueType.STRUCT else from_value_type(each)
    for each in ValueType
    if each not in WITHOUT_FIELDS
}
"""Every type of a Field, by the name of its ValueType."""

NUMBERS = [0, 1, -1, 2**31 - 1, -(2**31)]
TEXTS = ["", " ", "o'brien", "back\\\\slash", "new\nline", "NULL", "{1,2}", '"', "Ünïcode-用户-😀", "long " * 500]
SCALARS: dict[str, list[Any]] = {
    "bool": [True, False],
    "int32": NUMBERS,
    "int64": [*NUMBERS, 2**63 - 1, -(2**63)],
    "float": [0.0, -0.0, 0.1, float("inf"), float("-inf"), float("nan"), 3.4e38, 1e-45],
    "double": [0.0, -0.0, 0.1, 1e300, 5e-324, float("inf"), float("-inf"), float("nan")],
    "bytes": [b"", b"\x00\xff", b"x" * 300],
    "string": TEXTS,
    "unix_timestamp": [0, -1, 1_767_225_600, -62_135_596_801, 253_402_300_800, -(2**63)],
}
"""Edge cases of each type, among them timestamps before year 1, after 9999, and Feast's NaT."""


def source(folder: Path) -> FileSource:
    """A source of which Feast checks only that it exists."""
    path = folder / "rows.parquet"
    pd.DataFrame({"ts": [pd.Timestamp("2026-01-01", tz="UTC")]}).to_parquet(path)
    return FileSource(path=str(path), timestamp_field="ts")


def view_of_everything(folder: Path, user: Entity) -> FeatureView:
    """A feature of each type, with its name."""
    schema = [Field(name=name.lower(), dtype=dtype) for name, dtype in FEAST_TYPES.items()]
    schema.append(Field(name="user_id", dtype=String))
    return FeatureView(name="everything", entities=[user], ttl=timedelta(0), schema=schema, source=source(folder))


def entity(**keys: Any) -> EntityKey:
    """An entity key; the types of its values follow from Python's types."""
    kinds = {bool: "bool_val", int: "int64_val", str: "string_val", bytes: "bytes_val"}
    values = [each if isinstance(each, Value) else Value(**{kinds[type(each)]: each}) for each in keys.values()]
    return EntityKey(join_keys=list(keys), entity_values=values)


def drawn(feast_type: str, draw: random.Random) -> Value:
    """A Value of that type: null in one of seven cases, and often an edge case."""
    if draw.random() < 0.15:
        return draw.choice([Value(), Value(null_val=0)])
    value = Value()
    _fill(value, OTHERWISE.get(feast_type) or kind_of(feast_type), draw)
    return value


def _fill(message: Any, field: str, draw: random.Random, depth: int = 2) -> None:
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    if descriptor.message_type is None:
        setattr(message, field, _scalar(field, descriptor.cpp_type, draw))
        return
    inner = getattr(message, field)
    inner.SetInParent()
    for each in descriptor.message_type.fields:
        if each.message_type is not None and each.message_type.GetOptions().map_entry:
            if depth and each.message_type.fields_by_name["key"].cpp_type == each.CPPTYPE_STRING:
                for key in ("a", "b"):
                    _fill(inner.val[key], "string_val", draw, depth - 1)
        elif each.is_repeated and each.message_type is None:
            getattr(inner, each.name).extend(_scalar(field, each.cpp_type, draw) for _ in range(draw.randint(0, 4)))
        elif each.is_repeated and each.message_type.full_name == "feast.types.Value" and depth:
            _fill(getattr(inner, each.name).add(), "int64_val", draw, depth - 1)
        elif each.message_type is None:
            setattr(inner, each.name, _scalar(field, each.cpp_type, draw))


def _scalar(field: str, cpp_type: int, draw: random.Random) -> Any:
    kinds = [kind for kind in sorted(SCALARS, key=len, reverse=True) if field.startswith(kind)]
    kind = (kinds or [CPP_TYPES[cpp_type]])[0]
    return draw.choice(SCALARS.get(kind, TEXTS))
