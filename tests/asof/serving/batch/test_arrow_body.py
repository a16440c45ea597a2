"""An Arrow stream is read as rows, and nothing small in it becomes large in memory."""

import io
import random
import struct
from typing import Any

import pyarrow as pa
import pytest

from asof.errors import AsOfError, InvalidRequest, TooManyInstances
from asof.serving.batch.arrow_body import MOST_FIELDS, MOST_VALUES, read_rows
from asof.serving.batch.limits import MOST, MOST_BYTES


def stream(*tables: Any, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, tables[0].schema, options=options) as writer:
        for table in tables:
            writer.write(table)
    return sink.getvalue()


def users(*names: str | None) -> Any:
    return pa.table({"user_id": pa.array(names, pa.string())})


def test_rows_come_as_plain_data_with_nulls_as_none_from_all_batches_in_order() -> None:
    rows = read_rows(stream(users("a", None), users("b")))
    assert rows == [{"user_id": "a"}, {"user_id": None}, {"user_id": "b"}]


def test_every_type_that_is_taken_keeps_its_values() -> None:
    table = pa.table(
        {
            "text": pa.array(["é"], pa.large_string()),
            "small": pa.array([-3], pa.int8()),
            "single": pa.array([0.5], pa.float32()),
            "truth": pa.array([True]),
            "many": pa.array([[1.5, None]], pa.list_(pa.float64())),
            "named": pa.array([{"mean radius": 17.99}]),
        }
    )
    (row,) = read_rows(stream(table))
    assert row == {
        "text": "é",
        "small": -3,
        "single": 0.5,
        "truth": True,
        "many": [1.5, None],
        "named": {"mean radius": 17.99},
    }


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["x" * 1000]).dictionary_encode(),
        pa.array([None] * 5, pa.null()),
        pa.array([[]], pa.list_(pa.null())),
        pa.array([[None] * 3], pa.list_(pa.null(), 3)),
        pa.array(["a"], pa.string_view()),
        pa.array([b"a"]),
        pa.array([{"deep": [None]}], pa.struct([("deep", pa.list_(pa.null()))])),
        pa.RunEndEncodedArray.from_arrays([5], pa.array(["a"])),
    ],
    ids=lambda column: str(column.type)[:30],
)
def test_types_whose_values_have_no_bytes_of_their_own_are_refused_by_name(column: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"the column .user_id. is of type .*, which is not taken"):
        read_rows(stream(pa.table({"user_id": column})))


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_compressed_stream_is_refused_before_it_is_unpacked(compression: str) -> None:
    bomb = stream(pa.table({"user_id": ["x" * 50_000_000]}), compression=compression)
    assert len(bomb) < 500_000
    before = pa.total_allocated_bytes()
    with pytest.raises(InvalidRequest, match="compressed"):
        read_rows(bomb)
    assert pa.total_allocated_bytes() == before


def test_the_compression_of_old_streams_is_refused_too() -> None:
    sink, batch = io.BytesIO(), pa.record_batch({"user_id": ["x" * 100]})
    options = pa.ipc.IpcWriteOptions(metadata_version=pa.ipc.MetadataVersion.V4)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch, custom_metadata={"ARROW:experimental_compression": "zstd"})
    with pytest.raises(InvalidRequest, match="the stream is compressed"):
        read_rows(sink.getvalue())


def test_bytes_that_columns_share_count_for_each_of_them() -> None:
    size = MOST_BYTES // 4
    body = bytearray(stream(pa.table({name: ["x" * size] for name in "abcde"})))
    offset = None
    for place in range(0, len(body) - 15, 8):  # each text's place and length in the metadata: all lie at the first's
        first, length = struct.unpack_from("<qq", body, place)
        if length == size:
            offset = first if offset is None else offset
            struct.pack_into("<q", body, place, offset)
    with pytest.raises(InvalidRequest, match="share their bytes"):
        read_rows(bytes(body))


def test_a_stream_without_a_column_is_refused_though_it_has_rows() -> None:
    with pytest.raises(InvalidRequest, match="has 0 columns"):
        read_rows(stream(users("a", "b").select([])))


@pytest.mark.parametrize("count", [MOST_FIELDS + 1, 30_000])
def test_more_columns_than_any_instance_has_are_refused_at_once(count: int) -> None:
    with pytest.raises(InvalidRequest, match=f"has {count} columns"):
        read_rows(stream(pa.table({f"c{number}": [True] for number in range(count)})))
    struct_of_many = pa.array([{f"c{number}": True for number in range(count)}])
    with pytest.raises(InvalidRequest, match="not taken"):
        read_rows(stream(pa.table({"user_id": struct_of_many})))


def test_more_rows_than_a_batch_may_have_are_counted_and_refused() -> None:
    most = users(*["a"] * MOST)
    assert len(read_rows(stream(most))) == MOST
    with pytest.raises(TooManyInstances, match=f"holds {MOST + 1} instances: send at most {MOST}"):
        read_rows(stream(most, users("b")))


def test_lists_that_hold_more_than_all_instances_need_are_refused() -> None:
    emptiness = pa.StructArray.from_buffers(pa.struct([]), MOST_VALUES, [None])
    column = pa.ListArray.from_arrays([0, MOST_VALUES], emptiness)
    with pytest.raises(InvalidRequest, match="values"):
        read_rows(stream(pa.table({"user_id": column})))


def test_a_column_that_occurs_twice_is_refused() -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["user_id", "user_id"])
    with pytest.raises(InvalidRequest, match="'user_id' occurs twice"):
        read_rows(stream(table))


def test_a_stream_without_a_row_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no row"):
        read_rows(stream(users()))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"instances": []}', b"\xff" * 64, b"ARROW1\x00\x00"])
def test_what_is_no_arrow_stream_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="Arrow"):
        read_rows(body)


def test_no_damaged_stream_is_more_than_a_refusal() -> None:
    chance, whole = random.Random(6), stream(users("a", "b"), users("c"))
    for _ in range(3000):
        damaged = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.randrange(1, 6)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            rows = read_rows(bytes(damaged))
        except AsOfError:
            continue
        assert len(rows) <= MOST
