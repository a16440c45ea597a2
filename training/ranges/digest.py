"""Rows -> a digest that does not depend on their order, so that digests of ranges add up to that of the whole.

The digest of a set of rows is the sum modulo 2^256 of the SHA-256 of each row (AdHash: Bellare and Micciancio,
EUROCRYPT 1997). A sum, unlike xor, also tells a row that comes twice from one that is absent. By accident two sets of
rows have the same digest with a probability of 2^-256. It is no commitment: whoever may choose the rows can find
another set for a digest in far fewer than 2^128 steps (Wagner, CRYPTO 2002). It compares the scores of two runs, and
whoever may forge those may also forge their digest. What a model's facts and signature rest on, the rows of a training
set, keeps its digest over all rows in order (`training.features.datasets.rows_digest`), which the ranges' rows are put
together for.

What is hashed of a row, its columns by name: the bits of a number, or 0 or 1, in decimal and `|`; the number of bytes
of a text, `|`, the text and `|`; for null `-` instead of each of these. So no two rows have the same bytes.
"""

import hashlib

import pyarrow as arrow
import pyarrow.compute as compute

MODULUS = 2**256
EMPTY = "0" * 64
"""The digest of no rows."""
TEXT = arrow.large_string()


def rows_sum(rows: arrow.Table) -> str:
    """The digest of rows of texts, booleans, doubles, integers and times: 64 hexadecimal digits."""
    parts = [part for name in sorted(rows.column_names) for part in _encoded(rows[name])]
    ends = (arrow.scalar(text, TEXT) for text in ("", "|"))
    texts = compute.binary_join_element_wise(*parts, *ends, null_handling="replace", null_replacement="-")
    digests = (hashlib.sha256(row).digest() for row in texts.cast(arrow.large_binary()).to_pylist())
    return _hexadecimal(sum(map(int.from_bytes, digests)))


def added(one: str, other: str) -> str:
    """The digest of the rows of both."""
    return _hexadecimal(int(one, 16) + int(other, 16))


def _hexadecimal(number: int) -> str:
    return f"{number % MODULUS:064x}"


def _encoded(column: arrow.ChunkedArray) -> list[arrow.Array]:
    values = column.combine_chunks()
    if arrow.types.is_string(values.type) or arrow.types.is_large_string(values.type):
        return [compute.binary_length(values).cast(TEXT), values.cast(TEXT)]
    if arrow.types.is_boolean(values.type):
        return [values.cast(arrow.int8()).cast(TEXT)]
    return [values.view(arrow.int64()).cast(TEXT)]
