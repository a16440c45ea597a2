"""Checks of the ledger: the spool of answers, its shipper, and the database that it ships to."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg

from asof.files import try_lock
from asof.ledger.spool.segments import QUARANTINE, segment_paths
from asof.ledger.spool.shipper import LOCK, State
from asof.ledger.spool.writer import SUFFIX, spool_bytes
from asof.serving.ledger.shipper_process import SILENT_SECONDS, read_state
from asof.settings import Settings
from doctor.context import Context
from doctor.finding import Finding, error, listed, warning
from doctor.platforms.database import READ_ONLY

LAG_SECONDS = 60.0
NEARLY_FULL = 0.8
PARTITIONS = """
SELECT relname, relispartition FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace schema ON schema.oid = relnamespace
WHERE nspname = 'ledger' AND relname ~ '^(predictions|shadow_scores)' AND relkind IN ('r', 'p')"""


def check_spool(context: Context) -> Iterator[Finding]:
    """The folder of this checkout's services; none where no answer was ever kept."""
    settings = context.settings
    if settings.ledger_folder.is_dir():
        yield from check_shipper(settings, read_state(settings.ledger_folder) or State())
        yield from check_size(settings)
        yield from check_quarantine(settings)


def check_shipper(settings: Settings, state: State) -> Iterator[Finding]:
    """Whether answers wait without a shipper, or with one that cannot ship them."""
    folder, now = settings.ledger_folder, time.time()
    if not segment_paths(folder):
        return
    if now - state.looked_at > SILENT_SECONDS:
        what = "no shipper is running" if _is_free(settings) else "their shipper does not react"
        fix = "make up, or python -m asof.serving.ledger  (in containers: docker-compose up -d shipper)"
        yield error("ledger-shipper", f"Kept answers wait in {folder}, and {what}.", fix)
    elif state.error:
        fix = "Start the database, or correct ASOF_LEDGER_URL; python -m flows databases creates tables and rights."
        yield error("ledger-database", f"Kept answers wait in {folder}: {state.error.rstrip('.')}.", fix)
    elif state.oldest_at and now - state.oldest_at / 1e6 > LAG_SECONDS:
        found = f"Kept answers reach the ledger's database {now - state.oldest_at / 1e6:.0f} s late."
        yield warning("ledger-lag", found, "Look for locks and load on its server, and for a slow network.")


def check_size(settings: Settings) -> Iterator[Finding]:
    """How much of its greatest size the spool has."""
    share = spool_bytes(settings.ledger_folder) / settings.ledger_spool_bytes
    if share < NEARLY_FULL:
        return
    found = f"The spool {settings.ledger_folder} has {share:.0%} of its greatest size; beyond it no answer is kept."
    yield warning("ledger-spool", found, "Let its shipper catch up, or raise ASOF_LEDGER_SPOOL_BYTES.")


def check_quarantine(settings: Settings) -> Iterator[Finding]:
    """Files that the shipper has set aside."""
    folder = settings.ledger_folder / QUARANTINE
    if names := sorted(path.name for path in folder.glob(f"*{SUFFIX}")):
        found = f"The shipper has set damaged files aside in {folder}: {listed(names)}."
        fix = (
            "The service's log has the reasons. A file that is moved back is shipped from where it was left; otherwise "
            "delete it: the answers before the damage are in the ledger."
        )
        yield warning("ledger-quarantine", found, fix)


def check_partitions(context: Context) -> Iterator[Finding]:
    """Whether the ledger's database can be reached, and has partitions for this month and the next."""
    try:
        with psycopg.connect(context.settings.ledger_conninfo(**READ_ONLY), autocommit=True) as connection:
            tables: dict[str, bool] = dict(connection.execute(PARTITIONS.encode()).fetchall())
    except psycopg.OperationalError as refusal:
        reason = str(refusal).splitlines()[0].removeprefix("connection failed: ").rstrip(".")
        found = f"The ledger's database refuses the connection: {reason}."
        yield error("ledger-connection", found, "Start it, or correct ASOF_LEDGER_URL.")
        return
    this = datetime.now(UTC).replace(day=1)
    months = (this, this + timedelta(days=31))
    present = [table for table in ("predictions", "shadow_scores") if table in tables]
    names = [f"{table}_{month:%Y_%m}" for table in present for month in months]
    if absent := [name for name in names if not tables.get(name)]:
        found = f"The ledger has no partition {' and '.join(absent)}."
        yield warning("ledger-partitions", found, "python -m flows ledger keep  (makes partitions ahead)")


def _is_free(settings: Settings) -> bool:
    """Whether no shipper has the spool's lock."""
    file = try_lock(settings.ledger_folder / LOCK)
    if file:
        file.close()
    return file is not None
