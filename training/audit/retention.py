"""Old months of the snapshot tables -> dropped, unless a registered version could not be reproduced without them.

Which rows a version rests on is not estimated: its training set is joined again, and the moments of its rows counted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from asof.errors import ConfigurationError, DataError, ModelError
from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from asof.use_cases import load_all
from training.audit.lineage.training_set import set_origin
from training.data.snapshots.months.adoption import next_month
from training.data.snapshots.months.schema import BEFORE
from training.data.snapshots.provenance import actor
from training.data.snapshots.tables import LOAD_LOCK
from training.release.registry.versions import ModelVersion, read_version
from training.tracking.registry_tables import open_registry

LOCK_TIMEOUT = "60s"
PARTITIONS = """
SELECT parent.relname::text, part.relname::text, pg_total_relation_size(part.oid)
FROM pg_inherits JOIN pg_class part ON part.oid = inhrelid JOIN pg_class parent ON parent.oid = inhparent
WHERE parent.relnamespace = 'public'::regnamespace AND parent.relname = ANY(%s)"""
RECORD = """
INSERT INTO months.dropped (table_name, since, until, rows, breaks, actor) SELECT %s, %s, %s, count(*), %s, %s
FROM months.{} RETURNING rows"""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Month:
    """A partition of a snapshot table, of moments from `since` to before `until`; `rows` once they are dropped.

    `breaks` are the versions that rest on it, as `NAME version NUMBER` by run.
    """

    table: str
    partition: str
    since: datetime
    until: datetime
    bytes: int
    breaks: Mapping[str, str]
    rows: int | None = None


@dataclass(frozen=True)
class Retention:
    """`months` were dropped, or in a dry run would be; oldest first."""

    use_case: str
    before: datetime
    months: tuple[Month, ...]
    dry_run: bool


def keep_snapshots(
    settings: Settings,
    use_case: UseCase,
    before: datetime,
    *,
    owner: str,
    breaking: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda _: None,
) -> Retention:
    """Drops each month of the use case's tables that ended before a moment, but never a table's newest.

    `owner` connects as the tables' owner. Each month is dropped in a transaction with its record: interrupted, the next
    call goes on. Raises DataError where registered versions could not be reproduced any more, unless `breaking`;
    ConfigurationError where the user does not own the tables, or others read them for LOCK_TIMEOUT.
    """
    with psycopg.connect(settings.conninfo()) as connection:
        old = [*_old_months(connection, use_case, before)]
    months = _with_versions(settings, old, progress)
    broken = sorted({version for month in months for version in month.breaks.values()})
    if broken and not (breaking or dry_run):
        raise DataError(
            f"Without the months before {before:%Y-%m-%d} these could not be reproduced: {', '.join(broken)}. Keep "
            "more days, delete these versions from the registry, or add --breaking; nothing was dropped."
        )
    if not dry_run:
        months = [*_drop_all(owner, months, actor(settings), progress)]
    return Retention(use_case.name, before, tuple(months), dry_run)


def _old_months(connection: psycopg.Connection[Any], use_case: UseCase, before: datetime) -> Iterator[Month]:
    extract = use_case.extract
    tables = [table.name for table in (*extract.tables, extract.labels)]
    every = [_month(*row) for row in connection.execute(PARTITIONS, (tables,))]
    newest = {table: max(each.until for each in every if each.table == table) for table in {e.table for e in every}}
    old = (each for each in every if each.until <= before and each.until < newest[each.table])
    return iter(sorted(old, key=lambda each: (each.until, each.table)))


def _month(table: str, partition: str, size: int) -> Month:
    named = datetime.strptime(partition[-len("YYYY_MM") :], "%Y_%m").replace(tzinfo=UTC)
    if partition.startswith(f"{table}{BEFORE}"):
        return Month(table, partition, datetime.min.replace(tzinfo=UTC), named, size, {})
    return Month(table, partition, named, next_month(named), size, {})


def _with_versions(settings: Settings, months: Sequence[Month], progress: Progress) -> list[Month]:
    """The months with the versions of any use case whose training set has rows of them."""
    found: list[dict[str, str]] = [{} for _ in months]
    for use_case, version in _versions(settings) if months else ():
        name = f"{version.name} version {version.version}"
        progress(f"rows of {name}")
        sources = set_origin(settings, use_case, version.facts).sources
        used = {(source.table, share.as_of) for source in sources for share in source.shares}
        for month, breaks in zip(months, found, strict=True):
            if any(table == month.table and month.since <= as_of < month.until for table, as_of in used):
                breaks[version.run_id] = name
    return [replace(month, breaks=breaks) for month, breaks in zip(months, found, strict=True)]


def _versions(settings: Settings) -> Iterator[tuple[UseCase, ModelVersion]]:
    """Those that AsOf trained on rows of the store. Raises ConfigurationError where a use case does not load."""
    use_cases, broken = load_all()
    if broken:
        raise ConfigurationError(f"What {', '.join(broken)} rests on is not known: {next(iter(broken.values()))}")
    client = open_registry(settings)
    for use_case in use_cases:
        if not isinstance(use_case.source, FromStore):
            continue
        for each in client.search_model_versions(f"name='{use_case.model_name}'"):
            try:
                yield use_case, read_version(client, use_case.model_name, each.version)
            except ModelError:  # trained elsewhere: there is nothing to reproduce
                continue


def _drop_all(owner: str, months: Sequence[Month], who: str, progress: Progress) -> Iterator[Month]:
    with psycopg.connect(owner, autocommit=True) as connection:
        for month in months:
            progress(month.partition)
            try:
                yield replace(month, rows=_drop(connection, month, who))
            except psycopg.errors.InsufficientPrivilege as refusal:
                raise ConfigurationError(
                    f"User {connection.info.user} does not own the snapshot tables ({refusal.diag.message_primary}): "
                    "set ASOF_ADMIN_POSTGRES_URL as for `python -m flows databases`."
                ) from None
            except psycopg.errors.LockNotAvailable:
                raise ConfigurationError(
                    f"Others have read {month.table} for a minute: run the command again, what is dropped stays so."
                ) from None


def _drop(connection: psycopg.Connection[Any], month: Month, who: str) -> int:
    partition = sql.Identifier(month.partition)
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOAD_LOCK,))
        values = (month.table, month.since, month.until, [*month.breaks], who)
        (rows,) = connection.execute(sql.SQL(RECORD).format(partition), values).fetchone() or (0,)
        connection.execute(sql.SQL("DROP TABLE months.{}").format(partition))
    return int(rows)
