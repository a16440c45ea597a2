"""A use case and a moment -> every user's score, from the snapshots to PostgreSQL or to a folder of Parquet.

Users are scored by ranges of their keys, here or on several machines. A range is written whole or not at all: after a
kill, the same call resumes with the ranges that are left.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter

import psycopg

from asof.errors import RangeFailed, ScoringError
from asof.features.join_keys import keys_of_extract
from asof.settings import Settings
from asof.use_case import UseCase
from training.data.snapshots.provenance import actor, code_version
from training.data.snapshots.reading.known_at import tables_known_at
from training.ranges.plan import RANGE_USERS, Range, cut_points, ranges_between
from training.ranges.run import each_range
from training.release.registry.versions import model_version, require_production
from training.scoring.parquet import in_parquet, remember_folder
from training.scoring.postgres import in_postgres
from training.scoring.results import FindRun, OpenRun
from training.scoring.run import Run, Tally
from training.scoring.subject import described_moment, loads_seen, require_unchanged
from training.scoring.work import Scorer, ScoreRange, read_scorer

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
    range_users: int = RANGE_USERS,
    progress: Progress = lambda _: None,
) -> Scoring:
    """Scores every user of the entity table as of a moment (default: the newest snapshot), with a version (default:
    the one in Production). Features are each view's newest row up to `as_of` that was known at `known_at`; ages are
    relative to `as_of`.

    Without `known_at` it resumes the newest run of this version and moment that was begun without one, or begins a run
    with what is known now. `to` is `postgres`, or a folder of Parquet parts; a new run has ranges of about
    `range_users`. The engine is that of the settings; only `here` scores a use case that is not in asof/use_cases.
    Raises ScoringError where there is no snapshot, where another process is scoring the same, where a resumed run's
    rows or policies have changed, or where workers, PostgreSQL or the disk fail; ModelError, UntrustedModel,
    FeatureContractMismatch, TrainingSetError or ConfigurationError where it cannot begin, or a worker refuses to.
    Written ranges stay.
    """
    extract = use_case.extract
    scored_by = model_version(settings, use_case, version) if version else require_production(settings, use_case)
    scorer = read_scorer(settings, use_case, scored_by)
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
        views=scorer.features.views,
        who=actor(settings),
        git_commit=str(code_version()),
        begun_at=now,
    )
    find_run: FindRun = partial(in_postgres, settings) if to == POSTGRES else partial(in_parquet, Path(to))
    if to != POSTGRES:
        remember_folder(settings, Path(to))  # for `flows erase`
    with find_run(run, any_known_at=known_at is None) as found:
        if not found.complete and found.run is not run:
            require_unchanged(settings, found.run, views=run.views, planned=found.cuts is not None)
        return _Call(settings, scorer, range_users).finish(found, to, progress)


@dataclass(frozen=True)
class _Call:
    """Scores the ranges that a run has not scored yet."""

    settings: Settings
    scorer: Scorer
    range_users: int

    def finish(self, found: OpenRun, to: str, progress: Progress) -> Scoring:
        begun, tally = perf_counter(), found.tally
        try:
            if not found.complete:
                cuts = self._cuts(found)
                work = ScoreRange(found.run, found.begin(cuts), self.scorer)
                ranges = self._ranges(found.run, cuts)
                left = [each for each in ranges if each.number not in found.done]
                with closing(each_range(self.settings, work, left)) as results:
                    for count, (_, own) in enumerate(results, len(ranges) - len(left) + 1):
                        tally += own
                        found.advance(tally)
                        speed = (tally.scored - found.tally.scored) / (perf_counter() - begun)
                        done = f"{count:,} of {len(ranges):,} ranges"
                        progress(f"{done}, {tally.scored:,} users scored, {speed:,.0f} users/s")
                found.finish(tally)
        except (RangeFailed, psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
            raise _stopped(tally, error) from error
        return Scoring(found.run, tally, to, tally.scored - found.tally.scored, perf_counter() - begun)

    def _cuts(self, found: OpenRun) -> list[str]:
        """Those of the run, or of a new plan."""
        if found.cuts is not None:
            return [*found.cuts]
        run, extract = found.run, self.scorer.use_case.extract
        with tables_known_at(self.settings, extract, as_of=run.as_of, known_at=run.known_at) as tables:
            cuts = cut_points(tables, extract, as_of=run.as_of, known_at=run.known_at, size=self.range_users)
        return [*map(keys_of_extract(extract).text, cuts)]

    def _ranges(self, run: Run, cuts: list[str]) -> list[Range]:
        parsed = map(keys_of_extract(self.scorer.use_case.extract).parse, cuts)
        return ranges_between([*parsed], as_of=run.as_of, known_at=run.known_at)


def _stopped(tally: Tally, error: Exception) -> ScoringError:
    kept = f"{tally.scored:,} users are scored and kept" if tally.scored else "no user was scored yet"
    why = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    named = why if isinstance(error, RangeFailed) else f"{type(error).__name__}: {why}"
    return ScoringError(
        f"Scoring stopped ({named}): {kept}. Run the same command again when PostgreSQL, the disk and the workers "
        "work, and it resumes with the others."
    )
