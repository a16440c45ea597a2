"""A share of the entities, chosen from a hash of the key: the same entities in every month, by SQL and in Python.

It does not depend on the split, whose hash has another salt, nor on the label, so that both sides are samples of their
entities and every row stands for as many: metrics and calibration need no weights.
"""

import hashlib
from collections.abc import Iterable, Sequence

from psycopg import sql

from asof.features.join_keys import SEPARATOR

SALT = "asof-sample:"
HASHES = 2**32
"""Of the first 32 bits."""
CONDITION = """
('x' || left(encode(sha256(convert_to(concat_ws({separator}, {salt}, {keys}), 'UTF8')), 'hex'), 8))::bit(32)::bigint
< {limit}"""


def sampled(keys: Sequence[sql.Identifier], share: float) -> sql.Composed:
    """Whether the first 32 bits of SHA-256 over the salt and the entity's keys, as a fraction, are below `share`."""
    texts = (sql.SQL("{}::text").format(key) for key in keys)
    return sql.SQL(CONDITION).format(
        separator=sql.Literal(SEPARATOR),
        salt=sql.Literal(SALT),
        keys=sql.SQL(", ").join(texts),
        limit=sql.Literal(round(share * HASHES)),
    )


def is_sampled(values: Iterable[object], share: float) -> bool:
    """The same of an entity with these values of its keys."""
    text = SEPARATOR.join([SALT, *map(str, values)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") < round(share * HASHES)
