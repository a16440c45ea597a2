"""A query -> whether the planner finds the rows of each entity through an index. Asked before the query is run."""

import json
from typing import Any

import psycopg
from psycopg import sql

DEAR = 10.0
"""The cost of a lookup for each row that it is expected to find and one more, in the planner's units (a page read in
sequence is 1, at random 4). In tables of 2,000 to 480,000 rows, an index that begins with the entity cost 4.0 to 4.2,
analysed or not and however long the history; one that only gives the order 27 to 6,800.
"""


def uses_key_index(connection: psycopg.Connection, query: sql.Composable) -> bool:
    """Whether each scan that is run once for each entity is cheap: else the work would grow with its square.

    A source without an index is so found out, and an index that only gives the order, which is read from its end until
    the entity comes by: the planner takes it for cheap where it expects that soon.
    """
    plan = _plan(connection, query)
    return all(scan["Total Cost"] < DEAR * (1 + scan["Plan Rows"]) for scan in _repeated_scans(plan))


def expected_rows(connection: psycopg.Connection, query: sql.Composable) -> int:
    """How many rows the planner expects; far off where the tables were never analysed."""
    return int(_plan(connection, query)["Plan Rows"])


def _plan(connection: psycopg.Connection, query: sql.Composable) -> dict[str, Any]:
    row = connection.execute(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(query)).fetchone()
    plans = row[0] if row else []
    plan: dict[str, Any] = (json.loads(plans) if isinstance(plans, str) else plans)[0]["Plan"]
    return plan


def _repeated_scans(plan: dict[str, Any], *, repeated: bool = False) -> list[dict[str, Any]]:
    """The scans on the inner sides of nested loops, which are run once for each row of the outer side.

    Their own cost counts, not that of a LIMIT above: it is what a scan costs that finds nothing.
    """
    own = [plan] if repeated and "Scan" in plan["Node Type"] else []
    inner = plan["Node Type"] == "Nested Loop"
    for child in plan.get("Plans", []):
        own += _repeated_scans(child, repeated=repeated or (inner and child["Parent Relationship"] == "Inner"))
    return own
