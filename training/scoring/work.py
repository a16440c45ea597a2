"""The work on one range of users: read, judge and write them, each in a thread of its own.

A worker loads the model from its signed folder in MLflow and verifies it by itself: a model that came through a
cluster's object store would bypass the signature.
"""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from asof.errors import ScoringError
from asof.inference.served_model import ServedModel, load_verified
from asof.settings import Settings
from asof.use_case import UseCase
from asof.use_cases import load
from training.data.snapshots.reading.known_at import tables_known_at
from training.data.snapshots.reading.replicas import again_at_primary
from training.ranges.plan import Range
from training.ranges.prefetch import prefetch
from training.release.registry.versions import ModelVersion, model_version, verified_version
from training.scoring.judging import Outcomes, judge_chunk
from training.scoring.reading import Chunk, FeatureSources, read_chunks, read_features
from training.scoring.results import RangeWriter, ScoredChunk, scored_chunk
from training.scoring.run import Run, Tally
from training.targets import rules_of

CHUNK_USERS = 20_000
"""Users in memory at once: about 10 MB, and two seconds of a big forest."""


@dataclass(frozen=True)
class Scorer:
    """A verified version of a use case, and where its features are read."""

    use_case: UseCase
    version: ModelVersion
    model: ServedModel
    features: FeatureSources

    def scored(self, settings: Settings, run: Run, part: Range) -> Generator[ScoredChunk, None, None]:
        """The rows of a range, chunk by chunk."""
        rules, output = rules_of(self.use_case.target), self.model.facts.output
        with closing(prefetch(self._judged(settings, part))) as judged:
            for chunk, outcomes in judged:
                yield scored_chunk(run, chunk, outcomes, lambda each: rules.score_columns(each, output=output))

    def _judged(self, settings: Settings, part: Range) -> Generator[tuple[Chunk, Outcomes], None, None]:
        with closing(prefetch(self._read(settings, part))) as chunks:
            for chunk in chunks:
                yield chunk, judge_chunk(chunk, self.model, self.features.policies, part.as_of)

    def _read(self, settings: Settings, part: Range) -> Generator[Chunk, None, None]:
        extract = self.use_case.extract
        with tables_known_at(settings, extract, as_of=part.as_of, known_at=part.known_at, bulk=True) as tables:
            yield from read_chunks(tables, extract, self.features, part, size=CHUNK_USERS)


def read_scorer(settings: Settings, use_case: UseCase, version: ModelVersion) -> Scorer:
    """Loads and verifies the version.

    Raises UntrustedModel or ModelError where it cannot be loaded, FeatureContractMismatch or TrainingSetError where the
    registered features are not its own.
    """
    with verified_version(settings, version) as verified:
        model = load_verified(verified, use_case)
    return Scorer(use_case, version, model, read_features(settings, version.facts.contract, use_case.given))


@dataclass(frozen=True)
class ScoreRange:
    """The work on one range of a run. Another process makes its `scorer` itself."""

    run: Run
    writer: RangeWriter
    scorer: Scorer | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"scorer": None}

    def __call__(self, settings: Settings, part: Range) -> Tally:
        """Scores and writes a range, unless it is written; once more at the primary where a replica is lost.

        Raises as `read_scorer`.
        """
        return again_at_primary(self._scored)(settings, part)

    def _scored(self, settings: Settings, part: Range) -> Tally:
        scorer = self.scorer or _scorer_of(_Subject(self.run, settings))
        with closing(scorer.scored(settings, self.run, part)) as chunks:
            return self.writer.write(settings, part.number, chunks)


@dataclass(frozen=True)
class _Subject:
    run: Run
    settings: Settings = field(compare=False)


@lru_cache(maxsize=1)
def _scorer_of(subject: _Subject) -> Scorer:
    """What the worker of a run needs. Raises ScoringError where it sees another version or other features."""
    run, use_case = subject.run, load(subject.run.use_case)
    scorer = read_scorer(subject.settings, use_case, model_version(subject.settings, use_case, run.version))
    if (scorer.version.run_id, scorer.features.views) != (run.run_id, run.views):
        raise ScoringError(
            f"A worker finds another version {run.version} of {run.model}, or other features, than the run that it "
            "works for: give it the same MLFLOW_TRACKING_URI and ASOF_POSTGRES_URL. It scored nobody."
        )
    return scorer
