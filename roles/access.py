"""Who may do what: the roles, the databases that they own, and in database `asof` each table's readers and writers.

Everything that is not said here is refused, and taken back where somebody has granted it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

OWNER = "asof_owner"
"""Owns the tables of schema `public`, so that no login can change, drop or disguise one. Nobody logs in as it."""

INGEST, TRAINING, SERVING = "asof_ingest", "asof_training", "asof_serving"
MLFLOW, PREFECT = "mlflow", "prefect"
LOGINS = (INGEST, TRAINING, SERVING, MLFLOW, PREFECT)
ROLES = (OWNER, *LOGINS)
PUBLIC = "PUBLIC"

ASOF = "asof"
DATABASES: Mapping[str, str] = {ASOF: OWNER, "mlflow": MLFLOW, "prefect": PREFECT}
"""Each database and its owner, in whose hands is all that is in it but in `asof`."""

ONLINE = "online"
"""The schema of the online store, as feature_repo/feature_store.yaml names it. The ingest role owns it."""

SETTINGS: Mapping[str, Mapping[str, str]] = {
    # Who may make schemas could else make one of another role's name, which "$user" would put before `public`.
    INGEST: {"search_path": "public"},
    TRAINING: {"search_path": "public"},
    SERVING: {"search_path": "public", "default_transaction_read_only": "on", "statement_timeout": "10s"},
}
"""What a role's sessions in database `asof` begin with."""

READ = ("SELECT",)
APPEND = ("SELECT", "INSERT")
WRITE = ("SELECT", "INSERT", "UPDATE", "DELETE")

OF_OURSELVES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "loads": {INGEST: APPEND, TRAINING: READ},
    "materialisations": {INGEST: ("SELECT", "INSERT", "UPDATE"), TRAINING: READ},
    "whole_materialisations_begun": {INGEST: ("SELECT", "INSERT", "DELETE"), TRAINING: READ},
    "online_definitions": {INGEST: ("SELECT", "INSERT", "DELETE"), TRAINING: READ, SERVING: READ},
    "accepted_definitions": {INGEST: READ, TRAINING: APPEND, SERVING: READ},
    "parity_checks": {INGEST: APPEND, TRAINING: APPEND},
    "promotions": {TRAINING: APPEND},
    "scoring_runs": {TRAINING: ("SELECT", "INSERT", "UPDATE")},
    "scored_users": {TRAINING: APPEND},
    "scores": {TRAINING: READ},
}
OF_A_SNAPSHOT = {INGEST: APPEND, TRAINING: READ}
OF_THE_REGISTRY = {INGEST: WRITE, TRAINING: READ, SERVING: READ}
ONLINE_READERS = (TRAINING, SERVING)


class Grant(NamedTuple):
    """One privilege of one role on one thing. `name` is as in SQL; `passes_on`: the role may grant it to others."""

    kind: str
    name: str
    role: str
    privilege: str
    passes_on: bool = False


class Tables(NamedTuple):
    """The tables of schema `public` by what they are: those of extracts, and those of Feast's registry."""

    snapshots: tuple[str, ...]
    registry: tuple[str, ...]

    def readers_and_writers(self) -> dict[str, Mapping[str, tuple[str, ...]]]:
        """Each table's roles with their privileges."""
        return {
            **dict.fromkeys(self.registry, OF_THE_REGISTRY),
            **dict.fromkeys(self.snapshots, OF_A_SNAPSHOT),
            **OF_OURSELVES,
        }


def on_databases() -> Iterator[Grant]:
    """Who may connect, and who may make schemas and temporary tables. Owners may all of it."""
    for role in (INGEST, TRAINING, SERVING):
        yield Grant("DATABASE", ASOF, role, "CONNECT")
    for role in (INGEST, TRAINING):  # for the views of what was known at a moment
        yield from (Grant("DATABASE", ASOF, role, each) for each in ("CREATE", "TEMPORARY"))


def in_asof(tables: Tables, online: Iterable[str]) -> Iterator[Grant]:
    """On the schemas of database `asof`, its tables, and those of the online store, whose full names are given."""
    yield from (Grant("SCHEMA", "public", role, "USAGE") for role in (INGEST, TRAINING, SERVING))
    yield from (Grant("SCHEMA", "public", OWNER, each) for each in ("USAGE", "CREATE"))
    yield from (Grant("SCHEMA", ONLINE, role, "USAGE") for role in ONLINE_READERS)
    for table, roles in tables.readers_and_writers().items():
        for role, privileges in roles.items():
            yield from (Grant("TABLE", f"public.{table}", role, each) for each in privileges)
    for table in online:
        yield from (Grant("TABLE", table, role, "SELECT") for role in ONLINE_READERS)


def in_future() -> Iterator[Grant]:
    """On the tables that the ingest role is going to make in the online store."""
    yield from (Grant("DEFAULT", ONLINE, role, "SELECT") for role in ONLINE_READERS)


def in_sister(owner: str) -> Iterator[Grant]:
    """In the databases of MLflow and Prefect, whose tables their roles make."""
    yield from (Grant("SCHEMA", "public", owner, each) for each in ("USAGE", "CREATE"))
