"""A query -> what PostgreSQL's planner expects of it, before it is run."""

import json
import math
from collections.abc import Iterator
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
    that is joined may have more than `most_read` times as many rows as are read to find the entities.
    """
    scans = [*_scans(_plan(connection, query))]
    read = [scan for side, scan in scans if side == "outer" and scan["Node Type"] != "Subquery Scan"]
    entities = sum(scan["Plan Rows"] for scan in read)
    return all(
        scan["Total Cost"] < MAX_LOOKUP_COST * (1 + scan["Plan Rows"])
        if side == "repeated"
        else scan["Plan Rows"] <= most_read * entities
        for side, scan in scans
        if side != "outer"
    )


def expected_rows(connection: psycopg.Connection, query: sql.Composable) -> int:
    """How many rows the planner expects; far off if the tables were never analysed."""
    return int(_plan(connection, query)["Plan Rows"])


def _plan(connection: psycopg.Connection, query: sql.Composable) -> dict[str, Any]:
    row = connection.execute(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(query)).fetchone()
    plans = row[0] if row else []
    plan: dict[str, Any] = (json.loads(plans) if isinstance(plans, str) else plans)[0]["Plan"]
    return plan


def _scans(plan: dict[str, Any], side: str = "outer") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each scan with its side: `outer`, `set` (the inner of a join of sets), or `repeated` for each row of the outer.

    Not the LIMIT nodes above the repeated ones: a scan's own cost is that of a lookup without a result.
    """
    if "Scan" in plan["Node Type"]:
        yield side, plan
    inner = "repeated" if plan["Node Type"] == "Nested Loop" or side == "repeated" else "set"
    for child in plan.get("Plans", []):
        yield from _scans(child, inner if child["Parent Relationship"] == "Inner" else side)
