"""How often a challenger scored answers of another version, and how often its decision was another: counted in SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from asof.ledger.schema import NOT_HYPOTHETICAL
from asof.settings import Settings

EXISTS = "SELECT to_regclass('ledger.shadow_scores') IS NOT NULL"
PAIRS: LiteralString = (
    """
FROM ledger.shadow_scores s JOIN ledger.predictions p
    ON p.at = s.at AND p.request = s.request AND coalesce(p.item, -1) = coalesce(s.item, -1)
JOIN ledger.models c ON c.id = s.model JOIN ledger.models m ON m.id = p.model
WHERE c.use_case = %(use_case)s AND c.version = %(challenger)s AND m.version = %(champion)s
    AND m.use_case = c.use_case AND m.name = c.name AND p.status = 200 AND p.code IS NULL
    AND s.at >= %(since)s AND s.at < %(until)s AND """
    + NOT_HYPOTHETICAL
)
"""Both of each answer that is no what-if: `s` has what the challenger says, `p` what was answered."""
COUNTS: LiteralString = """
SELECT count(*) FILTER (WHERE num_nonnulls(s.score, s.scores) > 0),
    count(*) FILTER (WHERE s.code IN ('failed', 'crashed')),
    count(*) FILTER (WHERE num_nonnulls(s.score, s.scores) > 0 AND s.decision IS DISTINCT FROM p.decision),
    min(s.at), max(s.at)"""
CHAMPIONS: LiteralString = """
SELECT m.version FROM ledger.shadow_scores s JOIN ledger.predictions p
    ON p.at = s.at AND p.request = s.request AND coalesce(p.item, -1) = coalesce(s.item, -1)
JOIN ledger.models c ON c.id = s.model JOIN ledger.models m ON m.id = p.model
WHERE c.use_case = %(use_case)s AND c.version = %(challenger)s AND m.use_case = c.use_case AND m.version IS NOT NULL
    AND s.at >= %(since)s AND s.at < %(until)s
GROUP BY m.version ORDER BY max(s.at) DESC"""
NEWEST: LiteralString = """
SELECT c.version FROM ledger.shadow_scores s JOIN ledger.models c ON c.id = s.model
WHERE c.use_case = %(use_case)s AND s.at >= %(since)s AND s.at < %(until)s
GROUP BY c.version ORDER BY max(s.at) DESC LIMIT 1"""


@dataclass(frozen=True)
class Span:
    """Answers of a use case from one moment up to another, which is not included."""

    use_case: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class ShadowTally:
    """Of the answers of one version: how many the challenger `scored`, at how many it `failed`, and at how many scored
    ones its decision differs (0 for a number). `first` and `last` are None where there are none.
    """

    scored: int
    failed: int
    differing: int
    first: datetime | None
    last: datetime | None


def tally(settings: Settings, span: Span, challenger: str, champion: str) -> ShadowTally:
    """The tally of two versions; zeros where the ledger has no shadow scores. Raises psycopg.Error where it is away."""
    rows = _rows(settings, COUNTS + PAIRS, vars(span) | {"challenger": challenger, "champion": champion})
    return ShadowTally(*rows[0]) if rows else ShadowTally(0, 0, 0, None, None)


def champions(settings: Settings, span: Span, challenger: str) -> list[str]:
    """The versions whose answers it scored, the latest first."""
    return [version for (version,) in _rows(settings, CHAMPIONS, vars(span) | {"challenger": challenger})]


def latest_challenger(settings: Settings, span: Span) -> str | None:
    """The version with the latest shadow score."""
    rows = _rows(settings, NEWEST, vars(span))
    return str(rows[0][0]) if rows else None


def _rows(settings: Settings, query: LiteralString, parameters: dict[str, Any]) -> Sequence[tuple[Any, ...]]:
    import psycopg

    with psycopg.connect(settings.ledger_conninfo()) as connection:
        if connection.execute(EXISTS).fetchone() != (True,):
            return []
        return connection.execute(query, parameters).fetchall()
