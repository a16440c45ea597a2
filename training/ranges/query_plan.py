"""A query -> what PostgreSQL's planner expects of it, before it is run."""

import json
import math
from typing import Any

import psycopg
from psycopg import sql

MAX_LOOKUP_COST = 10.0
"""Per expected row plus one, in the planner's units (reading a page in sequence costs 1, at random 4). In tables of
2,000 to 480,000 rows, analysed or not, an index that begins with the entity cost 4.0 to 4.2 whatever the length of the
history; one that only gives the order 27 to 6,800.
"""


def uses_key_index(connection: psycopg.Connection, query: sql.Composable, *, most_read: float = math.inf) -> bool:
    """Whether each scan that is repeated for every entity is cheap; if not, the work is quadratic.

    It is not if a source has no index, or one that only gives the order and is read until the entity is found. No set
    that is joined may have more than `most_read` times as many rows as the query returns.
    """
    plan = _plan(connection, query)
    sets, repeated = _joined_scans(plan)
    return all(scan["Total Cost"] < MAX_LOOKUP_COST * (1 + scan["Plan Rows"]) for scan in repeated) and all(
        scan["Plan Rows"] <= most_read * plan["Plan Rows"] for scan in sets
    )


def expected_rows(connection: psycopg.Connection, query: sql.Composable) -> int:
    """How many rows the planner expects; far off if the tables were never analysed."""
    return int(_plan(connection, query)["Plan Rows"])


def _plan(connection: psycopg.Connection, query: sql.Composable) -> dict[str, Any]:
    row = connection.execute(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(query)).fetchone()
    plans = row[0] if row else []
    plan: dict[str, Any] = (json.loads(plans) if isinstance(plans, str) else plans)[0]["Plan"]
    return plan


def _joined_scans(plan: dict[str, Any], side: str = "outer") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The scans of sets that are joined, and those on the inner sides of nested loops, run for each row of the outer.

    Not the LIMIT nodes above these: a scan's own cost is that of a lookup without a result.
    """
    scans = [plan] if "Scan" in plan["Node Type"] else []
    sets, repeated = scans if side == "set" else [], scans if side == "repeated" else []
    inner = "repeated" if plan["Node Type"] == "Nested Loop" or side == "repeated" else "set"
    for child in plan.get("Plans", []):
        found = _joined_scans(child, inner if child["Parent Relationship"] == "Inner" else side)
        sets, repeated = sets + found[0], repeated + found[1]
    return sets, repeated
