"""Session settings with which PostgreSQL returns values as they were written.

A server, database, role or libpq variable may set each of these differently, and most of them would change values
without an error: text in another encoding, timestamps in another zone, floats with fewer digits, "NULL" for a null.
Under a stricter isolation level a transaction does not see rows that it has waited for.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

SESSION = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO,MDY",
    "TimeZone": "UTC",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "lc_numeric": "C",
    "lc_time": "C",
    "default_transaction_isolation": "read committed",
}

PLANNING = {
    # Planning takes longer than a lookup, so it is done once. Only a plan by index is good at any table size.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""For lookups by key."""

VARIABLES = {
    "PGCLIENTENCODING": SESSION["client_encoding"],
    "PGDATESTYLE": SESSION["DateStyle"],
    "PGTZ": SESSION["TimeZone"],
}
"""libpq sends these after the options of a connection string, so they override it."""


BACKEND = "SELECT pg_backend_pid()"
"""The process that answers. A pooler such as PgBouncer tells its clients of another one at the start: what belongs to a
session (prepared statements, settings, locks) may be lost between two transactions, or be found by others."""


def options(existing: str = "", **extra: str) -> str:
    """libpq's `options`: the existing ones, then SESSION, then `extra`. The last value of a setting wins.

    Sets VARIABLES in the environment of this process where they differ, because no connection string overrides them.
    """
    for name, value in VARIABLES.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    session = _switches(SESSION)
    return " ".join(
        filter(None, (existing if session in existing else f"{existing} {session}".strip(), _switches(extra)))
    )


def is_pooled(connection: "Connection[Any]") -> bool:
    """Whether a pooler is in between."""
    return connection.execute(BACKEND.encode()).fetchone() != (connection.info.backend_pid,)


def _switches(settings: dict[str, str]) -> str:
    return " ".join("-c {}={}".format(name, value.replace(" ", "\\ ")) for name, value in settings.items())
