"""A source's column and the feature it becomes: PostgreSQL's type and Feast's in, the SQL that converts it out.

Feast's own way goes over Python, Arrow and NumPy. Only pairs stand here for which SQL gives the same values, as the
tests compare them; every other pair goes Feast's own way. Where Feast loses digits (an integer column with a null
becomes floats on the way), SQL keeps them. NaN is no value to Feast and becomes null; lists hold no nulls.
"""

from collections.abc import Collection, Mapping

from online_store.schema.column_types import postgres_type

BOOL, BYTEA, INT8, INT2, INT4, TEXT, FLOAT4, FLOAT8 = 16, 17, 20, 21, 23, 25, 700, 701
VARCHAR, DATE, TIMESTAMP, TIMESTAMPTZ, NUMERIC = 1043, 1082, 1114, 1184, 1700
"""PostgreSQL's numbers of its types, which never change."""

PLAIN = "{}"
UTC = "({}::timestamp AT TIME ZONE 'UTC')"
KNOWN = "NULLIF({}::float8, 'NaN')"
# As a C cast rounds a double: beyond the range to infinity and zero, where PostgreSQL raises errors.
SINGLE = (
    "CASE WHEN {0}::float8 = 'NaN' THEN NULL WHEN abs({0}::float8) >= 3.4028235677973366e38"
    " THEN sign({0}::float8) * 'Infinity'::float8 WHEN abs({0}::float8) <= 7.006492321624085e-46"
    " THEN {0}::float8 * 0 ELSE {0}::float8 END"
)
SECONDS = "date_trunc('second', {})"

MOMENTS: Mapping[int, str] = {TIMESTAMPTZ: PLAIN, TIMESTAMP: UTC, DATE: UTC}
"""What an event or created timestamp may be."""

KEYS: Mapping[str, Collection[int]] = {
    "BOOL": (BOOL,),
    "BYTES": (BYTEA,),
    "INT32": (INT2, INT4),
    "INT64": (INT2, INT4, INT8),
    "STRING": (TEXT, VARCHAR),
}
"""Join keys: only what stays unique."""

FEATURES: Mapping[str, Mapping[int, str]] = {
    **{kind: dict.fromkeys(oids, PLAIN) for kind, oids in KEYS.items()},
    "DOUBLE": dict.fromkeys((INT2, INT4, INT8, FLOAT8, NUMERIC), KNOWN),
    "FLOAT": dict.fromkeys((INT2, INT4, INT8, FLOAT4, FLOAT8, NUMERIC), SINGLE),
    "UNIX_TIMESTAMP": {oid: SECONDS.format(moment) for oid, moment in MOMENTS.items()},
}

# A null in a list becomes the type's empty value in Feast, NaN where there is one; in integers Feast has no way for it.
LISTS: Mapping[str, Mapping[int, str]] = {
    "BOOL_LIST": {1000: "array_replace({}, NULL, false)"},
    "BYTES_LIST": {1001: "array_replace({}, NULL, ''::bytea)"},
    "DOUBLE_LIST": {1022: "array_replace({}, NULL, 'NaN'::float8)"},
    "FLOAT_LIST": {1021: "array_replace({}, NULL, 'NaN'::float4)"},
    "INT32_LIST": {1005: PLAIN, 1007: PLAIN},
    "INT64_LIST": {1005: PLAIN, 1007: PLAIN, 1016: PLAIN},
    "STRING_LIST": {1009: "array_replace({}, NULL, '')"},
}
# PostgreSQL has no function that raises an error: text that is no array does, and is its message.
FLAT = (
    "CASE WHEN array_ndims({0}) > 1 OR array_position({1}, NULL) IS NOT NULL"
    " THEN (' a list that holds a null, or lists: ' || {0}::text)::{2} ELSE {1}::{2} END"
)


def key_cast(column: str, oid: int, feast_type: str) -> str | None:
    """SQL that converts a source's quoted column to a join key of that Feast ValueType; None: only Feast can."""
    return f"{column}::{postgres_type(feast_type)}" if oid in KEYS.get(feast_type, ()) else None


def feature_cast(column: str, oid: int, feast_type: str) -> str | None:
    """The same for a feature."""
    pg_type = postgres_type(feast_type)
    if feast_type in LISTS:
        flat = _filled(LISTS[feast_type].get(oid), column)
        return FLAT.format(column, flat, pg_type) if flat else None
    value = _filled(FEATURES.get(feast_type, {}).get(oid), column)
    return f"({value})::{pg_type}" if value else None


def moment_cast(column: str, oid: int) -> str | None:
    """The same for an event or created timestamp; naive ones are UTC."""
    return _filled(MOMENTS.get(oid), column)


def _filled(template: str | None, column: str) -> str | None:
    return template.format(column) if template else None
