"""Checks of PostgreSQL: access, version, session settings, planner, clock, connections and grants."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import time

import psycopg
from psycopg.rows import TupleRow, class_row

from asof.errors import ConfigurationError
from asof.settings import WORKER_CONNECTIONS, Settings
from doctor.context import Context
from doctor.finding import Finding, error, note, warning
from local.embedded_postgres.databases import MLFLOW, session_trouble
from roles.access import ROLES

MIN_VERSION = 140000
"""`server_version_num` of PostgreSQL 14, the first with CREATE OR REPLACE TRIGGER."""

READ_ONLY = {"default_transaction_read_only": "on", "statement_timeout": "5000", "lock_timeout": "2000"}
MAX_CLOCK_SKEW = 5.0
"""Seconds."""
GRANTS_SHOWN = 3
Connection = psycopg.Connection[TupleRow]

STATE_QUERY = """
SELECT current_database() AS name, current_user AS role, current_setting('server_version_num')::int AS version,
       setting AS nestloop, source AS nestloop_source,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int AS connections,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           AS most_connections,
       (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user) AS role_limit,
       extract(epoch FROM clock_timestamp())::float AS clock
FROM pg_settings WHERE name = 'enable_nestloop'
"""

REFUSALS = {
    "does not support SSL": "Set ASOF_POSTGRES_SSLMODE=disable on a trusted network, or give the server a certificate.",
    "no encryption": "Set ASOF_POSTGRES_SSLMODE=require: the server takes encrypted connections only.",
    "password authentication failed": "Correct user and password in ASOF_POSTGRES_URL.",
    "no password supplied": "Write the password into ASOF_POSTGRES_URL.",
    "invalid sslmode": "Set ASOF_POSTGRES_SSLMODE to disable, require, verify-ca or verify-full, or unset it.",
    "unsupported startup parameter": "Set ASOF_POSTGRES_URL to PostgreSQL's own address: this is a pooler's.",
    "too many": "End idle clients, or raise max_connections.",
}
"""Text in libpq's message -> fix."""


@dataclass(frozen=True)
class DatabaseState:
    """State of a database and its server. `clock` is the server's Unix time minus ours, in seconds.

    `most_connections` are those of the server; `role_limit` those of the role, None without a limit.
    """

    name: str
    role: str
    version: int
    nestloop: str
    nestloop_source: str
    connections: int
    most_connections: int
    role_limit: int | None
    clock: float


@contextmanager
def read_only(settings: Settings, name: str | None = None) -> Iterator[Connection]:
    """A read-only connection with a statement timeout of five seconds."""
    with psycopg.connect(settings.conninfo(name, **READ_ONLY), autocommit=True) as connection:
        yield connection


def check_connection(context: Context) -> Iterator[Finding]:
    """Whether a connection can be opened; all other checks of the database need one."""
    if context.settings.postgres_url is None:
        what = "The embedded PostgreSQL is not running" if context.embedded else "PostgreSQL has no usable address"
        found = f"{what}: its contents were not checked."
        yield note("postgres-stopped", found, "make up  (commands that need it start it, too)")
        return
    try:
        with read_only(context.settings):
            return
    except ConfigurationError as wrong:
        yield error("postgres", str(wrong), "Correct ASOF_POSTGRES_URL, or unset it to use the embedded one.")
    except psycopg.OperationalError as wrong:
        yield connection_refused(_address(context.settings), str(wrong).splitlines()[0])


def connection_refused(address: str, reason: str) -> Finding:
    """The finding for the first line of libpq's message, which never contains the password."""
    reason = reason.removeprefix("connection failed: ").rstrip(".")
    if "does not exist" in reason and "database" in reason:
        fix = "python -m flows ingest  (creates the database if permitted), or correct ASOF_POSTGRES_URL."
    else:
        fix = next((fix for words, fix in REFUSALS.items() if words in reason), "")
    fallback = "Start it, correct ASOF_POSTGRES_URL, or unset it to use the embedded one."
    return error("postgres", f"PostgreSQL at {address} refuses the connection: {reason}.", fix or fallback)


def check_database(context: Context) -> Iterator[Finding]:
    """The database of the snapshots, and MLflow's if it is on the same server."""
    settings = context.settings
    yield from check_encryption(str(settings.database().host), settings.sslmode)
    yield from check_sessions(settings, None)
    state = _read_state(settings)
    yield from check_server(state)
    yield from check_workers(state, settings.workers)
    if settings.tracking_uri == settings.sqlalchemy_url("psycopg2", MLFLOW) and _exists(settings, MLFLOW):
        yield from check_sessions(settings, MLFLOW)


def check_server(state: DatabaseState) -> Iterator[Finding]:
    """Version, planner, connections and clock."""
    if state.version < MIN_VERSION:
        found = f"PostgreSQL is version {state.version // 10000}; 14 or newer is required."
        yield error("postgres-version", found, "Upgrade the server (pg_upgrade, or dump and restore).")
    yield from check_planner(state)
    if state.connections > 0.8 * state.most_connections:
        found = (
            f"{state.connections} of {state.most_connections} connections are in use; new ones will soon be refused."
        )
        yield warning("connections", found, "End idle clients, lower ASOF_WORKERS, or raise max_connections.")
    if abs(state.clock) >= MAX_CLOCK_SKEW:
        found = (
            f"PostgreSQL's clock differs from this machine's by {state.clock:+,.0f} s: ages and `known_at` are wrong."
        )
        yield error("clock:PostgreSQL", found, "Synchronise both with NTP: timedatectl set-ntp true")


def check_workers(state: DatabaseState, workers: int) -> Iterator[Finding]:
    """Whether the service of these settings alone may need more connections than there are."""
    needed, limit = (
        workers * WORKER_CONNECTIONS,
        min(state.most_connections, state.role_limit or state.most_connections),
    )
    if needed > limit:
        found = f"ASOF_WORKERS={workers} may open {needed} connections, and PostgreSQL gives {limit}."
        fix = "Lower ASOF_WORKERS, raise max_connections or the role's limit, or put PgBouncer in between."
        yield warning("workers", found, fix)


def check_sessions(settings: Settings, name: str | None) -> Iterator[Finding]:
    """Whether the sessions of a database return values unchanged."""
    with read_only(settings, name) as connection:
        if trouble := session_trouble(connection):
            yield error(f"session:{connection.info.dbname}", f"{trouble[0]}.", f"{trouble[1]}.")


def check_planner(state: DatabaseState) -> Iterator[Finding]:
    """Nested loops must be off for Feast's connections only; otherwise lookups by key become scans."""
    if state.nestloop == "on" or state.nestloop_source == "default":
        return
    whom = f"ROLE {state.role}" if "user" in state.nestloop_source else f"DATABASE {state.name}"
    found = (
        f"enable_nestloop is off for every session (set by {state.nestloop_source}): lookups by key get slow plans. "
        "feature_store.yaml switches it off for Feast's joins only."
    )
    yield warning("planner", found, f"ALTER {whom} RESET enable_nestloop")


def check_encryption(host: str, sslmode: str) -> Iterator[Finding]:
    """Unencrypted connections over a network; only a note for a one-word host, as container networks have."""
    if host in {"127.0.0.1", "localhost", "::1"} or sslmode not in {"disable", "allow", "prefer"}:
        return
    found = f"ASOF_POSTGRES_SSLMODE={sslmode} with PostgreSQL at {host}: connections may be unencrypted."
    fix = "Set ASOF_POSTGRES_SSLMODE=require (or verify-full), or use a private network."
    yield (note if host.isalnum() and not host.isdigit() else warning)("sslmode", found, fix)


def check_grants(context: Context) -> Iterator[Finding]:
    """No findings if no role exists, or if the database is not `asof`."""
    with read_only(context.settings) as connection:
        row = connection.execute(
            "SELECT current_database(), count(*) FROM pg_roles WHERE rolname = ANY(%s)", (list(ROLES),)
        ).fetchone()
    if row and row[0] == "asof" and row[1]:
        from roles.provision import wrong_grants  # imports what makes each table

        yield from report_grants(wrong_grants(context.settings))


def report_grants(differences: list[str]) -> Iterator[Finding]:
    """One finding for all differences from `roles/access.py`, as one command corrects all."""
    if differences:
        more = f"; and {len(differences) - GRANTS_SHOWN} more" if len(differences) > GRANTS_SHOWN else ""
        found = f"PostgreSQL's roles differ from roles/access.py: {'; '.join(differences[:GRANTS_SHOWN])}{more}."
        yield error("grants", found, "python -m flows databases  (in containers: docker-compose up databases)")


def _read_state(settings: Settings) -> DatabaseState:
    with read_only(settings) as connection, connection.cursor(row_factory=class_row(DatabaseState)) as cursor:
        begun = time()
        state = cursor.execute(STATE_QUERY).fetchone()
        assert state is not None  # noqa: S101 - a query without a table has a row
        return DatabaseState(**vars(state) | {"clock": state.clock - (begun + time()) / 2})


def _exists(settings: Settings, name: str) -> bool:
    with read_only(settings) as connection:
        return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def _address(settings: Settings) -> str:
    url = settings.database()
    return f"{url.host}:{url.port or 5432} (database {url.database}, user {url.username}, sslmode {settings.sslmode})"
