"""Fields of a binary COPY -> Arrow -> the same fields, for every type of the ledger and odd values."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.retention.columns import TYPES, Field, arrow_array, arrow_type, copy_fields, fields_of, row_fields
from online_store.encoding.column_types import OIDS
from online_store.encoding.copy_format import NULL, length_prefixed

NAN_WITH_PAYLOAD = struct.pack(">Q", 0x7FF8_0000_0000_0001)
VALUES: dict[str, st.SearchStrategy[bytes]] = {
    "int2": st.integers(-(2**15), 2**15 - 1).map(lambda each: struct.pack(">h", each)),
    "int8": st.integers(-(2**63), 2**63 - 1).map(lambda each: struct.pack(">q", each)),
    "float8": st.floats().map(lambda each: struct.pack(">d", each)) | st.just(NAN_WITH_PAYLOAD),
    "timestamptz": st.integers(-(2**60), 2**60).map(lambda each: struct.pack(">q", each)),
    "uuid": st.binary(min_size=16, max_size=16),
    "text": st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",))).map(str.encode),
}


def array(element: str, values: list[Field]) -> bytes:
    """As PostgreSQL sends it."""
    if not values:
        return struct.pack(">iii", 0, 0, OIDS[element])
    fields = [NULL if each is None else length_prefixed(each) for each in values]
    return struct.pack(">iiiii", 1, int(None in values), OIDS[element], len(values), 1) + b"".join(fields)


def column(pg_type: str) -> st.SearchStrategy[list[Field]]:
    element = pg_type.removesuffix("[]")
    values = VALUES[element]
    if element != pg_type:
        values = st.lists(st.none() | values, max_size=4).map(lambda each: array(element, each))
    return st.lists(st.none() | values, max_size=8)


@pytest.mark.parametrize("pg_type", sorted(set(TYPES.values())))
def test_every_value_comes_back_bit_for_bit(pg_type: str) -> None:
    @given(column(pg_type))
    def check(fields: list[Field]) -> None:
        made = arrow_array(fields, pg_type)
        assert made.type == arrow_type(pg_type)
        assert made.null_count == fields.count(None)
        assert copy_fields(made, pg_type) == [NULL if each is None else length_prefixed(each) for each in fields]

    check()


@pytest.mark.parametrize("data", [b"", struct.pack(">h", 3), struct.pack(">h", len(TYPES)) + NULL])
def test_what_is_no_row_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        row_fields(data)


def test_fields_that_do_not_end_with_the_data_are_refused() -> None:
    with pytest.raises(ValueError, match="do not end"):
        fields_of(NULL + b"x", 0, 1)
