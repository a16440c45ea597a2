"""Copies in the ledger: kept answers, a challenger's scores of them, and outcomes that came for them.

The row of an answer or score stays as a stub with its moment, request, model and status, so that the number of kept
answers adds up, and who asks for the request is told that it was erased.
"""

from typing import Any, LiteralString

import psycopg
from psycopg import sql

from asof.ledger.reading.kept_answer import ERASED
from training.data.snapshots.owned_tables import table_exists
from training.erasure.copies.databases.tables import ERASING, forget
from training.erasure.work import Copy, Work

ANSWERS = """
WHERE p.model IN (SELECT id FROM ledger.models WHERE use_case = {use_case})
    AND {answer} AND p.at <= {until}"""
OF_OUTCOMES = """
FROM ledger.outcomes AS o WHERE o.use_case = {use_case} AND o.created_at <= {until} AND ({outcome} OR EXISTS (
    SELECT FROM ledger.predictions AS p WHERE p.request = o.request AND p.item IS NOT DISTINCT FROM o.item
        AND p.model IN (SELECT id FROM ledger.models WHERE use_case = {use_case}) AND {answer}))"""
COUNT = "SELECT count(*) FROM ledger.predictions AS p"
STUB = """
UPDATE ledger.predictions AS p SET (code, entity, target_as_of, score, decision, api_key, caller_id, verdicts, scores,
    floats, integers, texts, moments) = ROW ({erased}, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL)"""

COUNT_SCORES = "SELECT count(*) FROM ledger.shadow_scores AS p"
STUB_SCORES = """
UPDATE ledger.shadow_scores AS p SET (code, entity, score, decision, scores) = ROW ({erased}, NULL, NULL, NULL, NULL)"""


def erase(work: Work) -> list[Copy]:
    """Outcomes first, in the same transaction, since they are found by the answers that they came for."""
    with psycopg.connect(work.settings.ledger_conninfo(), autocommit=True) as connection:
        if not table_exists(connection, "ledger.predictions"):
            return []
        has_scores = table_exists(connection, "ledger.shadow_scores")  # a ledger of an older version has none
        with connection.transaction():
            connection.execute(ERASING)
            outcomes = _run(connection, work, "DELETE " + OF_OUTCOMES, "SELECT count(*) " + OF_OUTCOMES)
            answers = _run(connection, work, STUB + ANSWERS, COUNT + ANSWERS)
            scores = _run(connection, work, STUB_SCORES + ANSWERS, COUNT_SCORES + ANSWERS) if has_scores else 0
        counts = {"ledger.outcomes": outcomes, "ledger.predictions": answers, "ledger.shadow_scores": scores}
        if work.apply:
            forget(connection, [place.split(".") for place, count in counts.items() if count])
    return [Copy(place, count) for place, count in counts.items()]


def _run(connection: psycopg.Connection[Any], work: Work, change: LiteralString, query: LiteralString) -> int:
    parts: dict[str, sql.Composable] = {
        "use_case": sql.Literal(work.use_case.name),
        "until": sql.Literal(work.until),
        "erased": sql.Literal(ERASED),
        "answer": work.subject.where_text(sql.Identifier("p", "entity")),
        "outcome": work.subject.where_text(sql.Identifier("o", "entity")),
    }
    if work.apply:
        return connection.execute(sql.SQL(change).format(**parts)).rowcount
    (count,) = connection.execute(sql.SQL(query).format(**parts)).fetchone() or (0,)
    return int(count)
