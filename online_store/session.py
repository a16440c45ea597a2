"""What a session with PostgreSQL must be set to, so that values are read as they were written.

A server, a database, a role and libpq's variables may set each of these otherwise, and most of them change values
without an error: text in another encoding, moments in another zone, floats with fewer digits, "NULL" for a null. Under
a stricter isolation a transaction does not see what it has waited for.
"""

import os

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

VARIABLES = {
    "PGCLIENTENCODING": SESSION["client_encoding"],
    "PGDATESTYLE": SESSION["DateStyle"],
    "PGTZ": SESSION["TimeZone"],
}
"""libpq sends these to the server after the options of a connection string, so they win over it."""


def options(given: str = "", **more: str) -> str:
    """libpq's `options`: those given, then the session's, then `more`. The last one of a name counts.

    Sets VARIABLES in this process's environment where they differ: no connection string wins over them.
    """
    for name, value in VARIABLES.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    ours = _switches(SESSION)
    return " ".join(filter(None, (given if ours in given else f"{given} {ours}".strip(), _switches(more))))


def _switches(settings: dict[str, str]) -> str:
    return " ".join("-c {}={}".format(name, value.replace(" ", "\\ ")) for name, value in settings.items())
