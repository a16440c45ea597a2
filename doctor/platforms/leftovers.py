"""What killed processes leave in PostgreSQL; what keeps growing; and disabled triggers."""

from collections.abc import Iterator
from pathlib import Path

from doctor.finding import Finding, error, listed, note, warning
from doctor.given import Given
from doctor.platforms.database import reading
from training.data.snapshots.known_at import PREFIX

MB = 1_000_000
LARGE = 1_000 * MB
"""Bytes of Prefect's database that deserve a look: one flow run with its events is about 0.1 MB."""
IDLE_MINUTES = 15

LEAKED = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE starts_with(tablename, 'feast_entity_df_') ORDER BY 1
"""
# A schema whose owner runs has the advisory lock of its name (training/data/snapshots/known_at.py): 64 bits in two
# columns.
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


def look_at_leftovers(given: Given) -> Iterator[Finding]:
    """Every check on what killed or idle sessions leave."""
    with reading(given.settings) as connection:
        names = [[row[0] for row in connection.execute(query)] for query in (LEAKED, UNGUARDED)]
        abandoned = [row[0] for row in connection.execute(ABANDONED, (PREFIX,))]
        idle = [str(row[0]) for row in connection.execute(IDLE, (IDLE_MINUTES,))]
    yield from leaked_tables(names[0])
    yield from unguarded_tables(names[1])
    yield from abandoned_schemas(abandoned)
    yield from idle_transactions(idle)


def look_at_prefects_file(given: Given) -> Iterator[Finding]:
    """How large Prefect's database has become where it is SQLite in PREFECT_HOME."""
    file = Path(given.environment.get("PREFECT_HOME") or given.settings.home / "prefect") / "prefect.db"
    if file.is_file():
        yield from grown(str(file), sum(each.stat().st_size for each in file.parent.glob("prefect.db*")))


def look_at_prefects_database(given: Given) -> Iterator[Finding]:
    """The same where it is the database `prefect` beside ours."""
    with reading(given.settings) as connection:
        size = connection.execute(
            "SELECT pg_database_size(datname) FROM pg_database"
            " WHERE datname = 'prefect' AND has_database_privilege(datname, 'CONNECT')"
        ).fetchone()
    if size:
        yield from grown("`prefect`", int(size[0]))


def leaked_tables(names: list[str]) -> Iterator[Finding]:
    """Feast makes a table for a historical read, and drops it at its end: a killed process does not."""
    if names:
        found = f"Feast left {len(names)} tables behind in reads that were killed: {listed(names, 3)}."
        yield warning("leaked-tables", found, f"While nothing of Feast's reads history: DROP TABLE {', '.join(names)}")


def abandoned_schemas(names: list[str]) -> Iterator[Finding]:
    """Views of what was known at a moment, of a killed training."""
    if names:
        found = f"A killed training left {listed(names, 3)} behind."
        yield note("abandoned-schemas", found, "Nothing: the next training, parity check or score drops them.")


def idle_transactions(pids: list[str]) -> Iterator[Finding]:
    """Sessions that hold locks and old rows and do nothing."""
    if pids:
        found = f"Sessions {listed(pids)} have been idle in a transaction for over {IDLE_MINUTES} minutes."
        yield warning("idle-transactions", found, f"End these clients, or SELECT pg_terminate_backend({pids[0]}).")


def unguarded_tables(tables: list[str]) -> Iterator[Finding]:
    """Tables that can be rewritten: a training set of an old moment may not come out the same."""
    if tables:
        found = f"The trigger that refuses UPDATE and DELETE is disabled on {listed(tables)}."
        mend = "; ".join(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only" for table in tables)
        yield error("append-only", found, mend)


def grown(where: str, size: int) -> Iterator[Finding]:
    """Prefect keeps every run, log and event; by itself it deletes old events only."""
    if size >= LARGE:
        mend = "Let Prefect's server delete old runs: PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED=events,flow_runs"
        yield warning("prefect-database", f"Prefect's database {where} has grown to {size / MB:,.0f} MB.", mend)
