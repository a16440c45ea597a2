"""A use case and a moment -> every user's score, from the snapshots to PostgreSQL or to a folder of Parquet.

Reading, the model and writing overlap, each in a thread of its own with a few chunks between them. A chunk is kept
whole or not at all: the same call after a kill goes on after the last one that was.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter

import psycopg

from asof.errors import ScoringError
from asof.inference.served_model import ServedModel, load_verified
from asof.settings import Settings
from asof.use_case import UseCase
from training.data.snapshots.known_at import tables_known_at
from training.data.snapshots.provenance import actor, code_version
from training.data.snapshots.query_plan import expected_rows
from training.release.registry.versions import verified_version
from training.scoring.judging import Judged, judge_chunk
from training.scoring.parquet import in_parquet
from training.scoring.postgres import in_postgres
from training.scoring.prefetch import ahead
from training.scoring.reading import Chunk, ScoredFeatures, Users, read_chunks, read_features
from training.scoring.results import Opener, Place, results
from training.scoring.run import Run, Tally
from training.scoring.subject import chosen_version, described_moment, loads_seen, require_unchanged

CHUNK = 20_000
"""Users read, scored and written at once: some 10 MB, and two seconds of a big forest."""
POSTGRES = "postgres"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Scoring:
    """A complete run. `new` users were scored by this call, in `seconds`: none where it was complete before."""

    run: Run
    tally: Tally
    to: str
    new: int
    seconds: float


def score_users(
    settings: Settings,
    use_case: UseCase,
    *,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
    version: str | None = None,
    to: str = POSTGRES,
    chunk: int = CHUNK,
    progress: Progress = lambda _: None,
) -> Scoring:
    """Scores every user of the entity table as of a moment (default: the newest snapshot), with a version (default:
    the one in Production). Features are each view's newest row up to `as_of`, learned by `known_at`; ages are judged
    as if it were `as_of` now.

    Without `known_at` the newest such run of this version and moment goes on where it ended, or a new one is begun
    with what is known now. `to` is `postgres`, or a folder of Parquet parts.
    Raises ScoringError where there is no snapshot, where another process is at the same, where a run would go on with
    other rows or policies than it was begun with, or where PostgreSQL is lost on the way; ModelError, UntrustedModel,
    FeatureContractMismatch, TrainingSetError or ConfigurationError where it cannot begin. What is written stays.
    """
    extract = use_case.extract
    found = chosen_version(settings, use_case, version)
    with verified_version(settings, found) as verified:
        model = load_verified(verified, use_case)
    features = read_features(settings, found.facts.contract)
    now = datetime.now(UTC)
    known = known_at or now
    moment = described_moment(settings, extract, as_of, known_at=known)
    run = Run(
        use_case=use_case.name,
        model=found.name,
        version=found.version,
        run_id=found.run_id,
        fingerprint=found.facts.fingerprint,
        feature_service=found.facts.contract.feature_service,
        threshold=found.facts.threshold,
        as_of=moment,
        known_at=known,
        loads=loads_seen(settings, as_of=moment, known_at=known),
        views=features.views,
        who=actor(settings),
        git_commit=str(code_version()),
        begun_at=now,
    )
    work = _Work(settings, use_case, model, features, chunk)
    with _opener(settings, to)(run, any_known_at=known_at is None) as place:
        if not place.complete and place.run is not run:
            require_unchanged(settings, place.run, views=features.views)
        return work.finish(place, to, progress)


def _opener(settings: Settings, to: str) -> Opener:
    return partial(in_postgres, settings) if to == POSTGRES else partial(in_parquet, Path(to))


@dataclass(frozen=True)
class _Work:
    """What scores the users of a place that have no score yet."""

    settings: Settings
    use_case: UseCase
    model: ServedModel
    features: ScoredFeatures
    chunk: int

    def finish(self, place: Place, to: str, progress: Progress) -> Scoring:
        begun, tally = perf_counter(), place.tally
        if not place.complete:
            try:
                with closing(ahead(self._judged(place))) as made:
                    for expected, chunk, judged in made:
                        each = results(place.run, chunk, judged, tally)
                        place.write(each)
                        tally = each.tally
                        progress(_told(tally, expected, (tally.scored - place.tally.scored) / (perf_counter() - begun)))
                place.finish(tally)
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
                raise _stopped(tally, error) from error
        return Scoring(place.run, tally, to, tally.scored - place.tally.scored, perf_counter() - begun)

    def _judged(self, place: Place) -> Generator[tuple[int, Chunk, Judged], None, None]:
        """Made by a second thread out of what a first one reads; and how many users are expected in all."""
        with closing(ahead(self._read(place))) as chunks:
            for left, chunk in chunks:
                judged = judge_chunk(chunk, self.model, self.features.policies, place.run.as_of)
                yield place.tally.scored + left, chunk, judged

    def _read(self, place: Place) -> Generator[tuple[int, Chunk], None, None]:
        """Each chunk, and how many users the planner expects in all of them: to count them would take seconds."""
        run, extract = place.run, self.use_case.extract
        with tables_known_at(self.settings, extract, as_of=run.as_of, known_at=run.known_at) as tables:
            users = Users(extract, after=place.tally.last)
            left = expected_rows(tables.connection, users.listed())
            for chunk in read_chunks(tables, users, self.features, as_of=run.as_of, size=self.chunk):
                yield left, chunk


def _told(tally: Tally, expected: int, speed: float) -> str:
    of = f" of about {expected:,}" if expected >= tally.scored else ""
    return f"{tally.scored:,}{of} users scored, {speed:,.0f} users/s"


def _stopped(tally: Tally, error: Exception) -> ScoringError:
    kept = f"{tally.scored:,} users are scored and kept" if tally.scored else "no user was scored yet"
    why = str(error).strip().splitlines() or [""]
    return ScoringError(
        f"Scoring stopped ({type(error).__name__}: {why[0]}): {kept}. Run the same command again when PostgreSQL and "
        "the disk are well, and it goes on after them."
    )
