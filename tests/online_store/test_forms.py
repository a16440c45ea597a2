"""Binary formats, names and the grouping of rows, without a server."""

import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format

from asof.settings import PROJECT
from online_store.encoding.copy_format import FIRST_SECOND, LAST_SECOND, NULL, encoder, timestamp
from online_store.pool import Address
from online_store.reading.direct_lookup import Source
from online_store.schema.layout import Column, Layout
from online_store.schema.names import MAX_NAME_BYTES, fit_name, literal, quoted, table_name
from online_store.writing.rows import group_rows
from tests.kits.store.values import entity
from tests.kits.store.wide import at

WITHOUT_FEAST = (
    "array_reader errors pool row_reader reading.direct_query encoding.parameters encoding.column_types schema.layout"
    " schema.names schema.tables encoding.copy_format writing.merge writing.upsert"
)


def test_the_repr_of_an_address_has_no_password() -> None:
    assert "secret" not in repr(Source("password=secret", "online", "shop"))
    assert "secret" not in repr(Address((("password", "secret"),), max_connections=1))


def test_modules_that_read_without_feast_do_not_import_it() -> None:
    imports = "; ".join(f"import online_store.{name}" for name in WITHOUT_FEAST.split())
    asked = f"{imports}; import sys; print([name for name in ('feast', 'pandas', 'pyarrow') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", asked], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def loaded(pg_type: str, field: bytes) -> Any:
    """The field, after its length, as psycopg decodes it."""
    (length,) = struct.unpack(">i", field[:4])
    assert length == len(field) - 4
    info = psycopg.adapters.types[pg_type.removesuffix("[]")]
    oid = info.array_oid if pg_type.endswith("[]") else info.oid
    return Transformer().get_loader(oid, Format.BINARY).load(field[4:])


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")))
)
def test_psycopg_reads_what_is_encoded(numbers: list[int], texts: list[str]) -> None:
    assert loaded("int8[]", encoder("int8[]")(numbers)) == numbers
    assert loaded("text[]", encoder("text[]")(texts)) == texts
    assert [loaded("text", encoder("text")(text)) for text in texts] == texts


@given(st.datetimes(timezones=st.just(UTC)))
def test_timestamps_equal_those_of_psycopg_to_the_microsecond(when: datetime) -> None:
    dumper = Transformer().get_dumper(when, PyFormat.BINARY)
    assert timestamp(when)[4:] == dumper.dump(when)
    assert timestamp(when.replace(tzinfo=None)) == timestamp(when)


def test_timestamps_of_any_zone_are_equal() -> None:
    there = at(0).astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert timestamp(there) == timestamp(at(0))


@pytest.mark.parametrize(
    ("pg_type", "value"),
    [("int4", 2**31), ("int8", 2**63), ("float4", 1e300), ("text", "\0"), ("timestamptz", FIRST_SECOND - 1),
     ("timestamptz", LAST_SECOND + 1), ("text[]", ["a", "\0"])],
)  # fmt: skip
def test_a_value_out_of_range_is_an_error(pg_type: str, value: Any) -> None:
    with pytest.raises((ValueError, OverflowError, struct.error)):
        encoder(pg_type)(value)


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), st.text(min_size=1))
def test_names_fit_and_stay_distinct(one: str, other: str) -> None:
    for name in (one, one * 80):
        assert len(fit_name(name).encode()) <= MAX_NAME_BYTES
        assert fit_name(name, taken={name}) != name
    assert (table_name(one, other) == table_name(other, one)) == (f"{one}.{other}" == f"{other}.{one}")
    assert fit_name("xmin") != "xmin"


def test_quotes_do_not_end_a_name_or_a_text() -> None:
    assert quoted('a"b') == '"a""b"'
    assert literal("a'b\\") == "E'a''b\\\\'"


LAYOUT = Layout(
    "s", "p", "v", table="p.v", version=3,
    keys=(Column("user_id", "user_id", "STRING"),),
    features=(Column("a", "a", "INT64", 1), Column("b", "b", "INT64", 3)),
)  # fmt: skip


def written(user: str, hour: int, created: int | None = None, **values: int) -> Any:
    made = {name: Value(int64_val=value) for name, value in values.items()}
    return entity(user_id=user), made, at(hour), None if created is None else at(created)


def grouped(rows: list[Any]) -> list[tuple[bool, list[int]]]:
    """For each group whether it is partial, and the first value of each row."""
    return [
        (group.partial, [next(iter(row.values.values())).int64_val for row in group.rows])
        for group in group_rows(LAYOUT, rows)
    ]


def test_of_rows_with_the_same_key_and_features_only_the_winner_is_written() -> None:
    assert grouped([written("u", 2, a=1, b=1), written("u", 3, a=2, b=2), written("u", 1, a=3, b=3)]) == [(False, [2])]
    assert grouped([written("u", 1, 5, a=1, b=1), written("u", 1, 4, a=2, b=2)]) == [(False, [1])]
    assert grouped([written("u", 1, 5, a=1, b=1), written("u", 1, 5, a=2, b=2)]) == [(False, [2])]


def test_rows_whose_order_matters_are_in_successive_groups() -> None:
    assert grouped([written("u", 2, a=1, b=1), written("u", 3, a=2)]) == [(False, [1]), (True, [2])]
    assert grouped([written("u", 1, 5, a=1, b=1), written("u", 1, a=2, b=2)]) == [(False, [1]), (False, [2])]
    assert grouped([written("u", 1, a=1), written("w", 1, a=2, b=2), written("x", 1, c=3), written("x", 1)]) == [
        (True, [1]),
        (False, [2]),
    ]
    assert struct.pack(">i", -1) == NULL
