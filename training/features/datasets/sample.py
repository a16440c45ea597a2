"""A share of the entities, chosen by PostgreSQL from a hash of the key: the same entities in every month.

It does not depend on the split, whose hash has another salt, nor on the label, so that both sides are samples of their
entities and every row stands for as many: metrics and calibration need no weights.
"""

from collections.abc import Sequence

from psycopg import sql

from asof.features.join_keys import SEPARATOR

SALT = "asof-sample:"
BITS = 32
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
        limit=sql.Literal(round(share * 2**BITS)),
    )
