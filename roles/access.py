"""The roles, the databases that they own, and the privileges on each table of database `asof`.

Everything that is not declared here is denied, and revoked where it was granted.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

OWNER = "asof_owner"
"""Owns the tables of schemas `public` and `ledger`, so that no login can change or replace one. It cannot log in."""

INGEST, TRAINING, SERVING = "asof_ingest", "asof_training", "asof_serving"
LEDGER = "asof_ledger"
ERASURE = "asof_erasure"
"""Runs `flows erase`: the only role that may delete rows of append-only tables."""
MONITORING = "asof_monitoring"
"""Runs the exporter of monitoring's figures, and reads nothing else."""
MLFLOW, PREFECT = "mlflow", "prefect"
LOGINS = (INGEST, TRAINING, SERVING, LEDGER, MONITORING, MLFLOW, PREFECT, ERASURE)
ROLES = (OWNER, *LOGINS)
PUBLIC = "PUBLIC"

ASOF = "asof"
DATABASES: Mapping[str, str] = {ASOF: OWNER, "mlflow": MLFLOW, "prefect": PREFECT}
"""Each database and its owner, who also owns what is in it, except in `asof`."""

ONLINE = "online"
"""The schema of the online store in feature_repo/feature_store.yaml, owned by the ingest role."""

KEPT = "ledger"
"""The schema of the ledger (`asof.ledger.schema`), owned by OWNER."""

SETTINGS: Mapping[str, Mapping[str, str]] = {
    # Otherwise a role that can create schemas could create one that "$user" puts before `public` for another role.
    INGEST: {"search_path": "public"},
    TRAINING: {"search_path": "public"},
    ERASURE: {"search_path": "public"},
    **{
        role: {"search_path": "public", "default_transaction_read_only": "on", "statement_timeout": "10s"}
        for role in (SERVING, MONITORING)
    },
}
"""The default settings of a role's sessions in database `asof`."""

READ = ("SELECT",)
APPEND = ("SELECT", "INSERT")
WRITE = ("SELECT", "INSERT", "UPDATE", "DELETE")
ERASE = ("SELECT", "DELETE")

OWN_TABLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "loads": {INGEST: APPEND, TRAINING: READ, ERASURE: READ},
    "materialisations": {INGEST: ("SELECT", "INSERT", "UPDATE"), TRAINING: READ},
    "whole_materialisations_begun": {INGEST: ("SELECT", "INSERT", "DELETE"), TRAINING: READ},
    "online_definitions": {INGEST: ("SELECT", "INSERT", "DELETE"), TRAINING: READ, SERVING: READ},
    "applied_features": {INGEST: ("SELECT", "INSERT", "UPDATE"), TRAINING: READ},
    "accepted_definitions": {INGEST: READ, TRAINING: APPEND, SERVING: READ},
    "parity_checks": {INGEST: APPEND, TRAINING: APPEND},
    "promotions": {TRAINING: APPEND},
    "scoring_runs": {TRAINING: ("SELECT", "INSERT", "UPDATE"), ERASURE: ("SELECT", "UPDATE")},
    "scoring_ranges": {TRAINING: ("SELECT", "INSERT", "UPDATE")},
    "scored_users": {TRAINING: APPEND, ERASURE: ERASE},
    "scores": {TRAINING: READ},
    **{
        table: {TRAINING: APPEND, MONITORING: READ}
        for table in ("monitor_runs", "monitor_metrics", "alerts", "alert_events")
    },
    "erasures": {INGEST: READ, TRAINING: READ, ERASURE: ("SELECT", "INSERT", "UPDATE")},
}
LEDGER_TABLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "predictions": {
        LEDGER: ("INSERT",),
        TRAINING: READ,
        ERASURE: ("SELECT", "UPDATE"),
        # To know the answers whose outcomes are reported to the service.
        SERVING: tuple(
            f"SELECT ({column})"
            for column in ("at", "caller_id", "entity", "item", "model", "request", "status", "target_as_of")
        ),
    },
    "shadow_scores": {LEDGER: ("INSERT",), TRAINING: READ, ERASURE: ("SELECT", "UPDATE")},
    "models": {LEDGER: ("INSERT",), TRAINING: READ, SERVING: READ, ERASURE: READ},
    "segments": {LEDGER: ("SELECT", "INSERT", "UPDATE"), TRAINING: READ, ERASURE: READ},
    "outcomes": {TRAINING: APPEND, SERVING: APPEND, ERASURE: ERASE},
    "complete_outcomes": {TRAINING: APPEND},
    "exports": {TRAINING: READ, ERASURE: APPEND},
    "answers": {TRAINING: READ},
    "answered_values": {TRAINING: READ},
}
MAKE_PARTITIONS = "ledger.make_partitions(timestamp with time zone,timestamp with time zone)"
MONTHS = "months"
"""The schema of the snapshot tables' partitions, owned by OWNER."""
MONTH_TABLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {"dropped": {TRAINING: READ}}
MAKE_MONTH = "months.make_month(text,timestamp with time zone)"
SNAPSHOT_TABLES = {INGEST: APPEND, TRAINING: READ, ERASURE: ERASE}
REGISTRY_TABLES = {INGEST: WRITE, TRAINING: READ, SERVING: READ, ERASURE: READ}
ONLINE_TABLES = {TRAINING: READ, SERVING: READ, ERASURE: ERASE}
PREFECT_TABLES = {ERASURE: ("SELECT", "UPDATE")}
DEFAULT, OF_PREFECT = "DEFAULT", "DEFAULT OF PREFECT"
MAKERS: Mapping[str, str] = {DEFAULT: INGEST, OF_PREFECT: PREFECT}
"""Kinds of default privileges, and whose future tables have them."""


class Grant(NamedTuple):
    """A privilege of a role on an object. `name` is as in SQL; `grantable`: the role may grant it to others."""

    kind: str
    name: str
    role: str
    privilege: str
    grantable: bool = False


class Tables(NamedTuple):
    """The tables of schema `public`: those of extracts, and those of Feast's registry."""

    snapshots: tuple[str, ...]
    registry: tuple[str, ...]

    def privileges(self) -> dict[str, Mapping[str, tuple[str, ...]]]:
        """For each table the privileges of each role."""
        return {
            **dict.fromkeys(self.registry, REGISTRY_TABLES),
            **dict.fromkeys(self.snapshots, SNAPSHOT_TABLES),
            **OWN_TABLES,
        }


def on_databases() -> Iterator[Grant]:
    """CONNECT, and the creation of schemas and temporary tables. Owners have all privileges."""
    for role in (INGEST, TRAINING, SERVING, LEDGER, MONITORING, ERASURE):
        yield Grant("DATABASE", ASOF, role, "CONNECT")
    yield Grant("DATABASE", PREFECT, ERASURE, "CONNECT")
    for role in (INGEST, TRAINING):  # for the views of what was known at a time
        yield from (Grant("DATABASE", ASOF, role, each) for each in ("CREATE", "TEMPORARY"))


def in_asof(tables: Tables, online: Iterable[str]) -> Iterator[Grant]:
    """On the schemas and tables of database `asof`; `online` are the full names of the online store's tables."""
    yield from (Grant("SCHEMA", "public", role, "USAGE") for role in (INGEST, TRAINING, SERVING, MONITORING, ERASURE))
    yield from (Grant("SCHEMA", "public", OWNER, each) for each in ("USAGE", "CREATE"))
    yield from (Grant("SCHEMA", ONLINE, role, "USAGE") for role in ONLINE_TABLES)
    for table, roles in tables.privileges().items():
        for role, privileges in roles.items():
            yield from (Grant("TABLE", f"public.{table}", role, each) for each in privileges)
    for table in online:
        yield from _on("TABLE", table, ONLINE_TABLES)
    yield from in_ledger()
    yield from in_months()


def in_ledger() -> Iterator[Grant]:
    """On the schema of the ledger. Rows go through the whole table, so no role needs rights on a partition."""
    yield from (Grant("SCHEMA", KEPT, role, "USAGE") for role in (LEDGER, TRAINING, SERVING, ERASURE))
    yield Grant("ROUTINE", MAKE_PARTITIONS, LEDGER, "EXECUTE")
    for table, roles in LEDGER_TABLES.items():
        yield from _on("TABLE", f"{KEPT}.{table}", roles)


def in_months() -> Iterator[Grant]:
    """On the partitions' schema; no role needs rights on a partition."""
    yield from (Grant("SCHEMA", MONTHS, role, "USAGE") for role in (INGEST, TRAINING))
    yield Grant("ROUTINE", MAKE_MONTH, INGEST, "EXECUTE")
    for table, roles in MONTH_TABLES.items():
        yield from _on("TABLE", f"{MONTHS}.{table}", roles)


def in_future() -> Iterator[Grant]:
    """On tables that the ingest role will create in the online store."""
    yield from _on(DEFAULT, ONLINE, ONLINE_TABLES)


def in_sister(owner: str, tables: Iterable[str]) -> Iterator[Grant]:
    """In the databases of MLflow and Prefect, whose roles create their tables; `tables` are their full names."""
    yield from (Grant("SCHEMA", "public", owner, each) for each in ("USAGE", "CREATE"))
    if owner == PREFECT:
        yield Grant("SCHEMA", "public", ERASURE, "USAGE")
        yield from _on(OF_PREFECT, "public", PREFECT_TABLES)
        for table in tables:
            yield from _on("TABLE", table, PREFECT_TABLES)


def _on(kind: str, name: str, roles: Mapping[str, Iterable[str]]) -> Iterator[Grant]:
    yield from (Grant(kind, name, role, each) for role, privileges in roles.items() for each in privileges)
