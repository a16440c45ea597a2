"""What is to be scored: the version that scores, and the moment that is described."""

from datetime import UTC, datetime

from psycopg import sql

from asof.errors import ModelError, ScoringError
from asof.extract_schema import ExtractSchema
from asof.settings import Settings
from asof.use_case import UseCase
from training.known_at import KnownTables, tables_known_at
from training.parity.offline_side import newest_moment
from training.register import ModelVersion, model_version, production


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
                f"There is no snapshot of {extract.entities} up to {up_to}, as known at {known_at.isoformat()}: "
                "run `python -m flows ingest`, or take a later moment."
            )
    if known_at < moment:
        raise ScoringError(
            f"known_at {known_at.isoformat()} lies before as_of {moment.isoformat()}: what will be true then is not "
            "known yet. Take an earlier --as-of, or a later --known-at."
        )
    return moment


def _anybody(tables: KnownTables, extract: ExtractSchema) -> bool:
    query = sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(extract.entities))
    return tables.connection.execute(query).fetchone() is not None
