"""A span of time -> the entities whose answers are audited: a share of each model's, by a hash of the entity.

The same entities each time, whatever else is in the ledger; the number of values does not depend on what they are. Each
model has at least LEAST entities, or all that it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import sql

from asof.errors import DataError

if TYPE_CHECKING:
    from psycopg import Connection

HASH: LiteralString = (
    "('x' || left(encode(sha256(convert_to('asof-audit:' || entity, 'UTF8')), 'hex'), 8))::bit(32)::bigint"
)
"""Uniform below HASHES."""
HASHES = 2**32
LEAST = 100
CHOSEN: LiteralString = """
at >= {since} AND at < {until} AND entity IS NOT NULL AND num_nonnulls(floats, integers, texts) > 0{of_moment}"""
STRATA: LiteralString = """
WITH entities AS (
    SELECT model, entity, count(*) AS answers FROM ledger.predictions
    WHERE model = ANY({models}) AND {chosen} GROUP BY model, entity
), placed AS (
    SELECT model, answers, hash, row_number() OVER (PARTITION BY model ORDER BY hash) AS place
    FROM (SELECT model, answers, {hash} AS hash FROM entities) AS hashed
)
SELECT model, count(*), sum(answers)::bigint, max(hash) FILTER (WHERE place <= {least}) FROM placed GROUP BY model"""
ERASED: LiteralString = """
SELECT count(*) FROM ledger.predictions
WHERE model = ANY({models}) AND at >= {since} AND at < {until} AND code = 'erased'"""


@dataclass(frozen=True)
class Span:
    """The answers to be audited: given from `since` up to `until`, and those about `as_of` alone unless it is None.

    `share` of the entities are audited.
    """

    since: datetime
    until: datetime
    share: float
    as_of: datetime | None = None

    @property
    def chosen(self) -> sql.Composed:
        """The condition on `ledger.predictions`."""
        moment = sql.Literal(self.as_of)
        of_moment = sql.SQL(" AND target_as_of = {}").format(moment) if self.as_of else sql.SQL("")
        return sql.SQL(CHOSEN).format(**self._times, of_moment=of_moment)

    @property
    def _times(self) -> dict[str, sql.Composable]:
        return {"since": sql.Literal(self.since), "until": sql.Literal(self.until)}

    def strata(self, connection: "Connection[Any]", models: list[int]) -> Mapping[int, "Stratum"]:
        """By model, those with answers in the span."""
        query = sql.SQL(STRATA).format(
            models=sql.Literal(models), chosen=self.chosen, hash=sql.SQL(HASH), least=sql.Literal(LEAST)
        )
        whole = int(self.share * HASHES) - 1
        rows = connection.execute(query).fetchall()
        return {model: Stratum(entities, answers, max(least, whole)) for model, entities, answers, least in rows}

    def erased(self, connection: "Connection[Any]", models: list[int]) -> int:
        """How many answers were erased."""
        query = sql.SQL(ERASED).format(models=sql.Literal(models), **self._times)
        return int((connection.execute(query).fetchone() or (0,))[0])


@dataclass(frozen=True)
class Stratum:
    """A model's entities and answers, and the greatest hash of an audited entity."""

    entities: int
    answers: int
    limit: int


def parse_share(text: str) -> float:
    """`5%` or `0.05` -> 0.05. Raises DataError for another text."""
    number, percent, rest = text.strip().partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1 or rest:
        raise DataError(f"{text} is no share of the entities: write it as 5% or 0.05, up to 100%.")
    return share
