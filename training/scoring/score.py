"""A use case and a moment -> every user's score, from the snapshots to PostgreSQL or to a folder of Parquet.

Reading, predicting and writing each have a thread. A chunk is written whole or not at all: after a kill, the same call
resumes after the last chunk.
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
from asof.features.join_keys import Entity, keys_of_extract
from asof.inference.served_model import ServedModel, load_verified
from asof.settings import Settings
from asof.use_case import UseCase
from training.data.snapshots.known_at import tables_known_at
from training.data.snapshots.provenance import actor, code_version
from training.data.snapshots.replicas import without_lost_replica
from training.features.datasets.query_plan import expected_rows
from training.release.registry.versions import model_version, require_production, verified_version
from training.scoring.judging import Outcomes, judge_chunk
from training.scoring.parquet import in_parquet, remember_folder
from training.scoring.postgres import in_postgres
from training.scoring.prefetch import prefetch
from training.scoring.reading import Chunk, FeatureSources, read_chunks, read_features, users_query
from training.scoring.results import OpenWriter, ScoreWriter, scored_chunk
from training.scoring.run import Run, Tally
from training.scoring.subject import described_moment, loads_seen, require_unchanged
from training.targets import rules_of

CHUNK_USERS = 20_000
"""Users in a chunk: about 10 MB, and two seconds of a big forest."""
POSTGRES = "postgres"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Scoring:
    """A complete run. This call scored `new` users in `seconds`; 0 where the run was complete before."""

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
    chunk: int = CHUNK_USERS,
    progress: Progress = lambda _: None,
) -> Scoring:
    """Scores every user of the entity table as of a moment (default: the newest snapshot), with a version (default:
    the one in Production). Features are each view's newest row up to `as_of` that was known at `known_at`; ages are
    relative to `as_of`.

    Without `known_at` it resumes the newest run of this version and moment that was begun without one, or begins a run
    with what is known now. `to` is `postgres`, or a folder of Parquet parts; `chunk` is a number of users.
    Raises ScoringError where there is no snapshot, where another process is scoring the same, where a resumed run's
    rows or policies have changed, or where PostgreSQL or the disk fails; ModelError, UntrustedModel,
    FeatureContractMismatch, TrainingSetError or ConfigurationError where it cannot begin. Written chunks stay.
    """
    extract = use_case.extract
    scored_by = model_version(settings, use_case, version) if version else require_production(settings, use_case)
    with verified_version(settings, scored_by) as verified:
        model = load_verified(verified, use_case)
    features = read_features(settings, scored_by.facts.contract, use_case.given)
    now = datetime.now(UTC)
    known = known_at or now
    moment = described_moment(settings, extract, as_of, known_at=known)
    run = Run(
        use_case=use_case.name,
        model=scored_by.name,
        version=scored_by.version,
        run_id=scored_by.run_id,
        fingerprint=scored_by.facts.fingerprint,
        feature_service=scored_by.facts.contract.feature_service,
        threshold=scored_by.facts.threshold,
        as_of=moment,
        known_at=known,
        loads=loads_seen(settings, as_of=moment, known_at=known),
        views=features.views,
        who=actor(settings),
        git_commit=str(code_version()),
        begun_at=now,
    )
    open_writer: OpenWriter = partial(in_postgres, settings) if to == POSTGRES else partial(in_parquet, Path(to))
    if to != POSTGRES:
        remember_folder(settings, Path(to))  # for `flows erase`
    with open_writer(run, any_known_at=known_at is None) as writer:
        if not writer.complete and writer.run is not run:
            require_unchanged(settings, writer.run, views=features.views)
        return _Scorer(settings, use_case, model, features, chunk).finish(writer, to, progress)


@dataclass(frozen=True)
class _Scorer:
    """Scores the users that a run has not scored yet."""

    settings: Settings
    use_case: UseCase
    model: ServedModel
    features: FeatureSources
    chunk: int

    def finish(self, writer: ScoreWriter, to: str, progress: Progress) -> Scoring:
        begun, tally = perf_counter(), writer.tally
        scores = partial(rules_of(self.use_case.target).score_columns, output=self.model.facts.output)
        if not writer.complete:
            try:
                with closing(prefetch(self._judged(writer))) as judged:
                    for expected, chunk, outcomes in judged:
                        scored = scored_chunk(writer.run, chunk, outcomes, tally, scores=scores)
                        writer.write(scored)
                        tally = scored.tally
                        speed = (tally.scored - writer.tally.scored) / (perf_counter() - begun)
                        of = f" of about {expected:,}" if expected >= tally.scored else ""
                        progress(f"{tally.scored:,}{of} users scored, {speed:,.0f} users/s")
                writer.finish(tally)
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
                raise _stopped(tally, error) from error
        return Scoring(writer.run, tally, to, tally.scored - writer.tally.scored, perf_counter() - begun)

    def _judged(self, writer: ScoreWriter) -> Generator[tuple[int, Chunk, Outcomes], None, None]:
        """Expected number of users in all, each chunk, and its outcomes."""
        with closing(prefetch(self._read(writer))) as chunks:
            for left, chunk in chunks:
                outcomes = judge_chunk(chunk, self.model, self.features.policies, writer.run.as_of)
                yield writer.tally.scored + left, chunk, outcomes

    def _read(self, writer: ScoreWriter) -> Generator[tuple[int, Chunk], None, None]:
        """The planner's estimate of the users that this call scores, as counting takes seconds, and each chunk.

        Where a replica is lost, the primary goes on after its last chunk.
        """
        last = writer.tally.last and keys_of_extract(self.use_case.extract).parse(writer.tally.last)
        read = 0
        try:
            with closing(self._read_after(last, writer.run, self.settings)) as chunks:
                for left, chunk in chunks:
                    yield left, chunk
                    last, read = chunk.entity(len(chunk) - 1), read + len(chunk)
        except psycopg.OperationalError as error:
            rest = self._read_after(last, writer.run, without_lost_replica(self.settings, error))
            yield from ((read + left, chunk) for left, chunk in rest)

    def _read_after(
        self, last: Entity | None, run: Run, settings: Settings
    ) -> Generator[tuple[int, Chunk], None, None]:
        extract = self.use_case.extract
        with tables_known_at(settings, extract, as_of=run.as_of, known_at=run.known_at, bulk=True) as tables:
            left = expected_rows(tables.connection, users_query(extract, last))
            for chunk in read_chunks(tables, extract, self.features, as_of=run.as_of, size=self.chunk, after=last):
                yield left, chunk


def _stopped(tally: Tally, error: Exception) -> ScoringError:
    kept = f"{tally.scored:,} users are scored and kept" if tally.scored else "no user was scored yet"
    why = str(error).strip().splitlines() or [""]
    return ScoringError(
        f"Scoring stopped ({type(error).__name__}: {why[0]}): {kept}. Run the same command again when PostgreSQL and "
        "the disk work, and it resumes after them."
    )
