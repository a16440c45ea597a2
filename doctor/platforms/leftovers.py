"""Checks of leftovers in PostgreSQL: killed processes, idle sessions, disabled triggers, Prefect's growth."""

from collections.abc import Iterator
from pathlib import Path

from doctor.context import Context
from doctor.finding import Finding, error, listed, note, warning
from doctor.platforms.database import read_only
from training.data.snapshots.reading.known_at import PREFIX

MB = 1_000_000
MAX_PREFECT_BYTES = 1_000 * MB
"""Size that is reported; one flow run with its events is about 0.1 MB."""
IDLE_MINUTES = 15

LEAKED = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE starts_with(tablename, 'feast_entity_df_') ORDER BY 1
"""
# While its process runs, the advisory lock of a schema's name is held (`training.data.snapshots.reading.known_at`);
# pg_locks has the 64 bits in two columns.
ABANDONED = """
SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s) AND hashtextextended(nspname, 0) NOT IN (
    SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1)
ORDER BY 1
"""
IDLE = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%%'
    AND state_change < now() - make_interval(mins => %s) ORDER BY 1
"""
UNGUARDED = """
SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'append_only' AND tgenabled = 'D' ORDER BY 1
"""


def check_leftovers(context: Context) -> Iterator[Finding]:
    """Leftovers of killed and idle sessions, and disabled triggers."""
    with read_only(context.settings) as connection:
        names = [[row[0] for row in connection.execute(query)] for query in (LEAKED, UNGUARDED)]
        abandoned = [row[0] for row in connection.execute(ABANDONED, (PREFIX,))]
        idle = [str(row[0]) for row in connection.execute(IDLE, (IDLE_MINUTES,))]
    yield from leaked_tables(names[0])
    yield from unguarded_tables(names[1])
    yield from abandoned_schemas(abandoned)
    yield from idle_transactions(idle)


def check_prefects_file(context: Context) -> Iterator[Finding]:
    """The size of Prefect's SQLite database in PREFECT_HOME."""
    file = Path(context.environment.get("PREFECT_HOME") or context.settings.home / "prefect") / "prefect.db"
    if file.is_file():
        yield from check_size(str(file), sum(each.stat().st_size for each in file.parent.glob("prefect.db*")))


def check_prefects_database(context: Context) -> Iterator[Finding]:
    """The size of the database `prefect` on our server."""
    with read_only(context.settings) as connection:
        size = connection.execute(
            "SELECT pg_database_size(datname) FROM pg_database"
            " WHERE datname = 'prefect' AND has_database_privilege(datname, 'CONNECT')"
        ).fetchone()
    if size:
        yield from check_size("`prefect`", int(size[0]))


def leaked_tables(names: list[str]) -> Iterator[Finding]:
    """Tables that Feast creates for a historical read and does not drop if it is killed."""
    if names:
        found = f"Killed historical reads of Feast left {len(names)} tables: {listed(names, 3)}."
        yield warning("leaked-tables", found, f"While no historical read runs: DROP TABLE {', '.join(names)}")


def abandoned_schemas(names: list[str]) -> Iterator[Finding]:
    """Schemas with `known_at` views of a killed training."""
    if names:
        found = f"A killed training left {listed(names, 3)}."
        yield note("abandoned-schemas", found, "Nothing to do: the next training, parity check or score drops them.")


def idle_transactions(pids: list[str]) -> Iterator[Finding]:
    """Sessions that hold locks and block vacuum."""
    if pids:
        found = f"Sessions {listed(pids)} have been idle in a transaction for over {IDLE_MINUTES} minutes."
        yield warning("idle-transactions", found, f"End these clients, or SELECT pg_terminate_backend({pids[0]}).")


def unguarded_tables(tables: list[str]) -> Iterator[Finding]:
    """Append-only tables that can be changed, so that training sets may no longer be reproducible."""
    if tables:
        found = f"The trigger that refuses UPDATE and DELETE is disabled on {listed(tables)}."
        fix = "; ".join(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only" for table in tables)
        yield error("append-only", found, fix)


def check_size(database: str, size: int) -> Iterator[Finding]:
    """Prefect keeps every run and log; by default it deletes only old events."""
    if size >= MAX_PREFECT_BYTES:
        fix = "Let Prefect's server delete old runs: set PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED=events,flow_runs"
        yield warning("prefect-database", f"Prefect's database {database} has grown to {size / MB:,.0f} MB.", fix)
