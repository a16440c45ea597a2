"""The PostgreSQL type of a column for each Feast ValueType."""

from collections.abc import Mapping

SCALARS: Mapping[str, str] = {
    "BOOL": "bool",
    "BYTES": "bytea",
    "DOUBLE": "float8",
    "FLOAT": "float4",
    "IMAGE_BYTES": "bytea",
    "INT32": "int4",
    "INT64": "int8",
    "PDF_BYTES": "bytea",
    "STRING": "text",
    "UNIX_TIMESTAMP": "timestamptz",
    "UUID_KEY": "uuid",
}

KEY_TYPES: Mapping[str, str] = {"UUID": "UUID_KEY"}
"""Feast's types that have another column as a join key than as a feature, which is a serialized Value."""

OIDS: Mapping[str, int] = {
    "bool": 16,
    "bytea": 17,
    "int8": 20,
    "int4": 23,
    "text": 25,
    "float4": 700,
    "float8": 701,
    "timestamptz": 1184,
    "uuid": 2950,
}
"""Fixed in PostgreSQL; the binary format of an array contains its element's OID."""

LIST = "_LIST"


def postgres_type(feast_type: str) -> str:
    """A scalar type, an array (`int8[]`), or bytea for serialized Values."""
    if feast_type in SCALARS:
        return SCALARS[feast_type]
    return "bytea" if is_wrapped(feast_type) else f"{SCALARS[feast_type.removesuffix(LIST)]}[]"


def is_wrapped(feast_type: str) -> bool:
    """Whether the column holds serialized Values: sets, maps, structs, JSON, UUIDs, decimals, and what Feast adds."""
    return feast_type.removesuffix(LIST) not in SCALARS
