"""What a run scores: the moment, and the loads that are known of it."""

from datetime import UTC, datetime

import psycopg
from psycopg import sql

from asof.errors import ScoringError
from asof.extracts.schema import ExtractSchema
from asof.settings import Settings
from training.data.snapshots.reading.known_at import tables_known_at
from training.features.parity.offline_side import newest_moment
from training.scoring.run import Run


def described_moment(
    settings: Settings, extract: ExtractSchema, as_of: datetime | None, *, known_at: datetime
) -> datetime:
    """`as_of`, or the moment of the newest snapshot.

    Raises ScoringError where there is no user in it, or where `known_at` lies before the moment or in the future.
    """
    if known_at > datetime.now(UTC):
        raise ScoringError(f"known_at {known_at.isoformat()} lies in the future: choose an earlier --known-at.")
    with tables_known_at(settings, extract, as_of=as_of or settings.now(), known_at=known_at) as tables:
        moment = as_of or newest_moment(tables, extract)
        users = sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(extract.entity_table))
        if moment is None or tables.connection.execute(users).fetchone() is None:
            up_to = (as_of or settings.now()).isoformat()
            raise ScoringError(
                f"There is no snapshot of {extract.entity_table} up to {up_to}, as known at {known_at.isoformat()}: "
                "run `python -m flows ingest`, or choose a later moment."
            )
    if known_at < moment:
        raise ScoringError(
            f"known_at {known_at.isoformat()} lies before as_of {moment.isoformat()}, which was not known "
            "yet: choose an earlier --as-of, or a later --known-at."
        )
    return moment


def loads_seen(settings: Settings, *, as_of: datetime, known_at: datetime) -> int:
    """The number of loads up to `as_of` that were known at `known_at`; a backfill increases it."""
    query = "SELECT count(*) FROM public.loads WHERE as_of <= %s AND known_at <= %s"
    with psycopg.connect(settings.conninfo()) as connection:
        row = connection.execute(query, (as_of, known_at)).fetchone()
    return int(row[0]) if row else 0


def require_unchanged(settings: Settings, run: Run, *, views: str, planned: bool) -> None:
    """Raises ScoringError where loads, sources or policies have changed since the run was begun, or it has no plan."""
    new = loads_seen(settings, as_of=run.as_of, known_at=run.known_at) - run.loads
    changes = [f"{new} more loads count as known by then"] if new else []
    if views != run.views:
        changes.append("a feature view has another source or policy")
    if not planned:
        changes.append("the plan of its ranges is gone: it named a user who was erased, or an older AsOf began it")
    if changes:
        raise ScoringError(
            f"The run of {run.title}, known at {run.known_at.astimezone(UTC).isoformat()}, cannot go on: since it "
            f"was begun, {' and '.join(changes)}. The remaining users would be scored on other data. Begin "
            "another with --known-at, or delete it: its rows in scored_users and scoring_runs, or its folder."
        )
