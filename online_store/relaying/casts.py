"""SQL that converts a source's column, of a PostgreSQL type, to a feature of a Feast type.

Feast converts through Python, Arrow and NumPy. Only pairs of types are listed here for which SQL gives the same values,
as the tests compare; any other pair is left to Feast. Where Feast loses digits (it converts an integer column with a
null to floats), SQL keeps them. NaN is not a value to Feast and becomes null; lists hold no nulls.
"""

from collections.abc import Collection, Mapping

from online_store.encoding.column_types import postgres_type

BOOL, BYTEA, INT8, INT2, INT4, TEXT, FLOAT4, FLOAT8 = 16, 17, 20, 21, 23, 25, 700, 701
VARCHAR, DATE, TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUID = 1043, 1082, 1114, 1184, 1700, 2950
"""OIDs, fixed in PostgreSQL."""

UNCHANGED = "{}"
AS_UTC = "({}::timestamp AT TIME ZONE 'UTC')"
AS_DOUBLE = "NULLIF({}::float8, 'NaN')"
# As C casts a double to a float: out of range to infinity or zero, where PostgreSQL raises an error.
AS_FLOAT = (
    "CASE WHEN {0}::float8 = 'NaN' THEN NULL WHEN abs({0}::float8) >= 3.4028235677973366e38"
    " THEN sign({0}::float8) * 'Infinity'::float8 WHEN abs({0}::float8) <= 7.006492321624085e-46"
    " THEN {0}::float8 * 0 ELSE {0}::float8 END"
)
TO_SECOND = "date_trunc('second', {})"

MOMENTS: Mapping[int, str] = {TIMESTAMPTZ: UNCHANGED, TIMESTAMP: AS_UTC, DATE: AS_UTC}
"""For event and created timestamps."""

KEYS: Mapping[str, Collection[int]] = {
    "BOOL": (BOOL,),
    "BYTES": (BYTEA,),
    "INT32": (INT2, INT4),
    "INT64": (INT2, INT4, INT8),
    "STRING": (TEXT, VARCHAR),
    "UUID_KEY": (UUID,),
}
"""For join keys: only types whose values stay distinct."""

FEATURES: Mapping[str, Mapping[int, str]] = {
    **{kind: dict.fromkeys(oids, UNCHANGED) for kind, oids in KEYS.items()},
    "DOUBLE": dict.fromkeys((INT2, INT4, INT8, FLOAT8, NUMERIC), AS_DOUBLE),
    "FLOAT": dict.fromkeys((INT2, INT4, INT8, FLOAT4, FLOAT8, NUMERIC), AS_FLOAT),
    "UNIX_TIMESTAMP": {oid: TO_SECOND.format(moment) for oid, moment in MOMENTS.items()},
}

# In Feast a null in a list becomes NaN, or else the type's empty value; in a list of integers it is an error.
LISTS: Mapping[str, Mapping[int, str]] = {
    "BOOL_LIST": {1000: "array_replace({}, NULL, false)"},
    "BYTES_LIST": {1001: "array_replace({}, NULL, ''::bytea)"},
    "DOUBLE_LIST": {1022: "array_replace({}, NULL, 'NaN'::float8)"},
    "FLOAT_LIST": {1021: "array_replace({}, NULL, 'NaN'::float4)"},
    "INT32_LIST": {1005: UNCHANGED, 1007: UNCHANGED},
    "INT64_LIST": {1005: UNCHANGED, 1007: UNCHANGED, 1016: UNCHANGED},
    "STRING_LIST": {1009: "array_replace({}, NULL, '')"},
}
# PostgreSQL has no function that raises an error; casting text that is not an array does, with the text in it.
FLAT_LIST = (
    "CASE WHEN array_ndims({0}) > 1 OR array_position({1}, NULL) IS NOT NULL"
    " THEN (' a list that holds a null, or lists: ' || {0}::text)::{2} ELSE {1}::{2} END"
)


def key_cast(column: str, oid: int, feast_type: str) -> str | None:
    """The SQL for a join key of that Feast ValueType, from a quoted column; None where only Feast can convert it."""
    return f"{column}::{postgres_type(feast_type)}" if oid in KEYS.get(feast_type, ()) else None


def feature_cast(column: str, oid: int, feast_type: str) -> str | None:
    """The SQL for a feature."""
    pg_type = postgres_type(feast_type)
    if feast_type in LISTS:
        flat = _formatted(LISTS[feast_type].get(oid), column)
        return FLAT_LIST.format(column, flat, pg_type) if flat else None
    value = _formatted(FEATURES.get(feast_type, {}).get(oid), column)
    return f"({value})::{pg_type}" if value else None


def moment_cast(column: str, oid: int) -> str | None:
    """The SQL for an event or created timestamp; naive ones are UTC."""
    return _formatted(MOMENTS.get(oid), column)


def _formatted(template: str | None, column: str) -> str | None:
    return template.format(column) if template else None
