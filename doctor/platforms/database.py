"""PostgreSQL -> is access granted; version, sessions, planner, clock, connections, roles and their grants."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import time

import psycopg
from psycopg.rows import TupleRow, class_row

from asof.errors import ConfigurationError
from asof.settings import Settings
from doctor.finding import Finding, error, note, warning
from doctor.given import Given
from local.embedded_postgres.databases import MLFLOW, session_trouble
from roles.access import ROLES
from roles.provision import wrong_grants

OLDEST = 140000
"""CREATE OR REPLACE TRIGGER came with PostgreSQL 14."""

READ_ONLY = {"default_transaction_read_only": "on", "statement_timeout": "5000", "lock_timeout": "2000"}
CLOCKS_APART = 5.0
"""Seconds."""
GRANTS_SHOWN = 3
Connection = psycopg.Connection[TupleRow]

SEEN = """
SELECT current_database() AS name, current_user AS role, current_setting('server_version_num')::int AS version,
       setting AS nestloop, source AS nestloop_source,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int AS connections,
       current_setting('max_connections')::int AS most_connections,
       extract(epoch FROM clock_timestamp())::float AS clock
FROM pg_settings WHERE name = 'enable_nestloop'
"""

REFUSALS = {
    "does not support SSL": "Set ASOF_POSTGRES_SSLMODE=disable on a trusted network, or give the server a certificate.",
    "no encryption": "Set ASOF_POSTGRES_SSLMODE=require: the server takes encrypted connections only.",
    "password authentication failed": "Correct user and password in ASOF_POSTGRES_URL.",
    "no password supplied": "Write the password into ASOF_POSTGRES_URL.",
    "invalid sslmode": "Set ASOF_POSTGRES_SSLMODE to disable, require, verify-ca or verify-full, or unset it.",
    "too many": "End idle clients, or raise max_connections.",
}
"""What libpq says -> what to do."""


@dataclass(frozen=True)
class Seen:
    """What one database reports of itself and its server. `clock` is its Unix time minus ours, in seconds."""

    name: str
    role: str
    version: int
    nestloop: str
    nestloop_source: str
    connections: int
    most_connections: int
    clock: float


@contextmanager
def reading(settings: Settings, name: str | None = None) -> Iterator[Connection]:
    """A connection that can change nothing, and whose statements end after five seconds."""
    with psycopg.connect(settings.conninfo(name, **READ_ONLY), autocommit=True) as connection:
        yield connection


def look_at_connection(given: Given) -> Iterator[Finding]:
    """Whether a connection can be opened: without one nothing of the store can be checked."""
    if given.settings.postgres_url is None:
        what = "The embedded PostgreSQL does not run" if given.embedded else "There is no address of PostgreSQL"
        found = f"{what}: its contents were not checked."
        yield note("postgres-stopped", found, "make up  (commands that need it start it, too)")
        return
    try:
        with reading(given.settings):
            return
    except ConfigurationError as wrong:
        yield error("postgres", str(wrong), "Correct ASOF_POSTGRES_URL, or unset it to use the embedded one.")
    except psycopg.OperationalError as refusal:
        yield refused(_address(given.settings), str(refusal).splitlines()[0])


def refused(address: str, reason: str) -> Finding:
    """PostgreSQL is away, or refuses us; libpq's first line never holds the password."""
    told = reason.removeprefix("connection failed: ").rstrip(".")
    if "does not exist" in told and "database" in told:
        mend = "python -m flows ingest  (makes the database where it may), or correct ASOF_POSTGRES_URL."
    else:
        mend = next((mend for words, mend in REFUSALS.items() if words in told), "")
    fallback = "Start it, correct ASOF_POSTGRES_URL, or unset it to use the embedded one."
    return error("postgres", f"PostgreSQL at {address} refuses the connection: {told}.", mend or fallback)


def look_at_database(given: Given) -> Iterator[Finding]:
    """Every check on the database of the snapshots, and on MLflow's where it is ours."""
    settings = given.settings
    yield from way_there(str(settings.database().host), settings.sslmode)
    yield from sessions(settings, None)
    yield from judged(_seen(settings))
    if settings.tracking_uri == settings.sqlalchemy_url("psycopg2", MLFLOW) and _is_there(settings, MLFLOW):
        yield from sessions(settings, MLFLOW)


def judged(seen: Seen) -> Iterator[Finding]:
    """What is wrong with a database of snapshots."""
    if seen.version < OLDEST:
        found = f"PostgreSQL is of version {seen.version // 10000}; triggers of the history need 14 or newer."
        yield error("postgres-version", found, "Upgrade the server (pg_upgrade, or dump and restore).")
    yield from planned(seen)
    if seen.connections > 0.8 * seen.most_connections:
        found = f"{seen.connections} of {seen.most_connections} connections are in use: further ones will be refused."
        yield warning("connections", found, "End idle clients, lower ASOF_WORKERS, or raise max_connections.")
    if abs(seen.clock) >= CLOCKS_APART:
        found = f"The clock of PostgreSQL is {seen.clock:+,.0f} s from this machine's: ages and `known_at` are wrong."
        yield error("clock:PostgreSQL", found, "Synchronise both with NTP: timedatectl set-ntp true")


def sessions(settings: Settings, name: str | None) -> Iterator[Finding]:
    """Whether our connections to a database get values as they were written."""
    with reading(settings, name) as connection:
        if trouble := session_trouble(connection):
            yield error(f"session:{connection.info.dbname}", f"{trouble[0]}.", f"{trouble[1]}.")


def planned(seen: Seen) -> Iterator[Finding]:
    """Nested loops are off for Feast's connections only; off for all, every lookup by key is planned as a scan."""
    if seen.nestloop == "on" or seen.nestloop_source == "default":
        return
    whom = f"ROLE {seen.role}" if "user" in seen.nestloop_source else f"DATABASE {seen.name}"
    found = (
        f"enable_nestloop is off for every session (set by {seen.nestloop_source}): feature_store.yaml switches it off "
        "for Feast's joins alone; other reads get worse plans."
    )
    yield warning("planner", found, f"ALTER {whom} RESET enable_nestloop")


def way_there(host: str, sslmode: str) -> Iterator[Finding]:
    """Passwords and features in clear over a network; a name of one word is one of a network of containers, mostly."""
    if host in {"127.0.0.1", "localhost", "::1"} or sslmode not in {"disable", "allow", "prefer"}:
        return
    found = f"ASOF_POSTGRES_SSLMODE={sslmode} and PostgreSQL is at {host}: what is read and written may pass in clear."
    mend = "Set ASOF_POSTGRES_SSLMODE=require (or verify-full), or keep to a private network."
    yield (note if host.isalnum() and not host.isdigit() else warning)("sslmode", found, mend)


def look_at_grants(given: Given) -> Iterator[Finding]:
    """Nothing where none of the roles exists, or where another database than theirs is checked."""
    with reading(given.settings) as connection:
        row = connection.execute(
            "SELECT current_database(), count(*) FROM pg_roles WHERE rolname = ANY(%s)", (list(ROLES),)
        ).fetchone()
    if row and row[0] == "asof" and row[1]:
        yield from deviating(wrong_grants(given.settings))


def deviating(words: list[str]) -> Iterator[Finding]:
    """What differs from `roles/access.py`: one finding, as one command corrects all of it."""
    if words:
        more = f"; and {len(words) - GRANTS_SHOWN} more" if len(words) > GRANTS_SHOWN else ""
        found = f"PostgreSQL's roles are not as they should be: {'; '.join(words[:GRANTS_SHOWN])}{more}."
        yield error("grants", found, "python -m flows databases  (in containers: docker-compose up databases)")


def _seen(settings: Settings) -> Seen:
    with reading(settings) as connection, connection.cursor(row_factory=class_row(Seen)) as cursor:
        begun = time()
        seen = cursor.execute(SEEN).fetchone()
        assert seen is not None  # noqa: S101 - a query without a table has a row
        return Seen(**vars(seen) | {"clock": seen.clock - (begun + time()) / 2})


def _is_there(settings: Settings, name: str) -> bool:
    with reading(settings) as connection:
        return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def _address(settings: Settings) -> str:
    url = settings.database()
    return f"{url.host}:{url.port or 5432} (database {url.database}, user {url.username}, sslmode {settings.sslmode})"
