"""Where feature_store.yaml says that the online store lies: its section in, what libpq needs out."""

from collections.abc import Mapping
from typing import Any

from psycopg.conninfo import make_conninfo

NAMES = {
    "host": "host",
    "port": "port",
    "dbname": "database",
    "user": "user",
    "password": "password",
    "sslmode": "sslmode",
    "sslkey": "sslkey_path",
    "sslcert": "sslcert_path",
    "sslrootcert": "sslrootcert_path",
    "keepalives_idle": "keepalives_idle",
}
"""libpq's names of what a connection takes -> those in feature_store.yaml."""


def store_conninfo(store: Mapping[str, Any]) -> str:
    """As Feast connects (`feast/infra/utils/postgres/connection_utils.py`), with its defaults."""
    told = {"sslmode": "require", **store}
    return make_conninfo("", **{name: told.get(theirs) for name, theirs in NAMES.items()})


def store_schema(store: Mapping[str, Any]) -> str:
    """The schema of the tables; Feast's own default is `public`, and that of an empty one the user's name."""
    schema: str = store.get("db_schema", "public") or store["user"]
    return schema.strip()
