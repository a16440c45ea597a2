"""What is to be scored: the version that scores, the moment that is described, and what is known of it."""

from datetime import UTC, datetime

import psycopg
from psycopg import sql

from asof.errors import ModelError, ScoringError
from asof.extract_schema import ExtractSchema
from asof.settings import Settings
from asof.use_case import UseCase
from training.data.snapshots.known_at import KnownTables, tables_known_at
from training.features.parity.offline_side import newest_moment
from training.release.registry.versions import ModelVersion, model_version, production
from training.scoring.run import Run


def chosen_version(settings: Settings, use_case: UseCase, version: str | None) -> ModelVersion:
    """The version of that number, or the one in Production. Raises ModelError where there is none."""
    found = model_version(settings, use_case, version) if version else production(settings, use_case)
    if found is None:
        raise ModelError(
            f"No version of {use_case.model_name} is in Production: run `python -m flows retrain {use_case.name}` "
            "first, or name one with --version."
        )
    return found


def described_moment(
    settings: Settings, extract: ExtractSchema, as_of: datetime | None, *, known_at: datetime
) -> datetime:
    """`as_of`, or the newest moment of which there is a snapshot.

    Raises ScoringError where no user was known by then, or where `known_at` lies before the moment or in the future.
    """
    if known_at > datetime.now(UTC):
        raise ScoringError(
            f"known_at {known_at.isoformat()} lies in the future: what will be known then is not here yet."
        )
    with tables_known_at(settings, extract, as_of=as_of or settings.now(), known_at=known_at) as tables:
        moment = as_of or newest_moment(tables, extract)
        if moment is None or not _anybody(tables, extract):
            up_to = (as_of or settings.now()).isoformat()
            raise ScoringError(
                f"There is no snapshot of {extract.entity_table} up to {up_to}, as known at {known_at.isoformat()}: "
                "run `python -m flows ingest`, or take a later moment."
            )
    if known_at < moment:
        raise ScoringError(
            f"known_at {known_at.isoformat()} lies before as_of {moment.isoformat()}: what will be true then is not "
            "known yet. Take an earlier --as-of, or a later --known-at."
        )
    return moment


def loads_seen(settings: Settings, *, as_of: datetime, known_at: datetime) -> int:
    """How many loads brought what is known of a moment; a backfill adds to them afterwards."""
    query = "SELECT count(*) FROM public.loads WHERE as_of <= %s AND known_at <= %s"
    with psycopg.connect(settings.conninfo()) as connection:
        row = connection.execute(query, (as_of, known_at)).fetchone()
    return int(row[0]) if row else 0


def require_unchanged(settings: Settings, held: Run, *, views: str) -> None:
    """Raises ScoringError where a run that goes on would read or judge otherwise than it did when it was begun."""
    new = loads_seen(settings, as_of=held.as_of, known_at=held.known_at) - held.loads
    changes = [f"{new} more loads count as known by then"] if new else []
    if views != held.views:
        changes.append("a feature view has another source or policy")
    if changes:
        raise ScoringError(
            f"The run of {held.title}, known at {held.known_at.astimezone(UTC).isoformat()}, cannot go on: since it "
            f"was begun, {' and '.join(changes)}, so the users that are left would be judged by another state. Begin "
            "another with --known-at, or forget it: its rows in scored_users and scoring_runs, or its folder."
        )


def _anybody(tables: KnownTables, extract: ExtractSchema) -> bool:
    query = sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(extract.entity_table))
    return tables.connection.execute(query).fetchone() is not None
