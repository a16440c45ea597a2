"""A query -> what PostgreSQL's planner expects of it, before it is run."""

import json
from typing import Any

import psycopg
from psycopg import sql

MAX_LOOKUP_COST = 10.0
"""Per expected row plus one, in the planner's units (reading a page in sequence costs 1, at random 4). In tables of
2,000 to 480,000 rows, analysed or not, an index that begins with the entity cost 4.0 to 4.2 whatever the length of the
history; one that only gives the order 27 to 6,800.
"""


def uses_key_index(connection: psycopg.Connection, query: sql.Composable) -> bool:
    """Whether each scan that is repeated for every entity is cheap; if not, the work is quadratic.

    It is not if a source has no index, or one that only gives the order and is read until the entity is found.
    """
    plan = _plan(connection, query)
    return all(scan["Total Cost"] < MAX_LOOKUP_COST * (1 + scan["Plan Rows"]) for scan in _repeated_scans(plan))


def expected_rows(connection: psycopg.Connection, query: sql.Composable) -> int:
    """How many rows the planner expects; far off if the tables were never analysed."""
    return int(_plan(connection, query)["Plan Rows"])


def _plan(connection: psycopg.Connection, query: sql.Composable) -> dict[str, Any]:
    row = connection.execute(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(query)).fetchone()
    plans = row[0] if row else []
    plan: dict[str, Any] = (json.loads(plans) if isinstance(plans, str) else plans)[0]["Plan"]
    return plan


def _repeated_scans(plan: dict[str, Any], *, repeated: bool = False) -> list[dict[str, Any]]:
    """The scans on the inner sides of nested loops, run once for each row of the outer side.

    Not the LIMIT nodes above them: a scan's own cost is that of a lookup without a result.
    """
    own = [plan] if repeated and "Scan" in plan["Node Type"] else []
    inner = plan["Node Type"] == "Nested Loop"
    for child in plan.get("Plans", []):
        own += _repeated_scans(child, repeated=repeated or (inner and child["Parent Relationship"] == "Inner"))
    return own
