"""The rows of a scored chunk, in PostgreSQL and in Parquet alike, and the interface of what writes them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import pyarrow as arrow

from asof.errors import ScoringError
from training.metrics.classification import Floats
from training.scoring.judging import NO_FLAGS, Outcomes, moments_text, refusals
from training.scoring.reading import Chunk
from training.scoring.run import Run, Tally

ScoreColumns = Callable[[Floats], dict[str, arrow.Array]]
"""Predictions -> the columns of the target, null where a prediction is NaN."""

TEXT, TIME = arrow.large_string(), arrow.timestamp("us", "UTC")
FIELDS = (
    arrow.field("entity", TEXT, nullable=False),
    arrow.field("code", TEXT),
    arrow.field("detail", TEXT),
    arrow.field("flags", TEXT),
    arrow.field("moments", TEXT, nullable=False),
    arrow.field("model", TEXT, nullable=False),
    arrow.field("version", TEXT, nullable=False),
    arrow.field("run_id", TEXT, nullable=False),
    arrow.field("fingerprint", TEXT, nullable=False),
    arrow.field("threshold", arrow.float64()),
    arrow.field("as_of", TIME, nullable=False),
    arrow.field("known_at", TIME, nullable=False),
    arrow.field("scored_at", TIME, nullable=False),
)
"""A row for each user; after `entity` come the columns of the model's target (`Rules.score_columns`).

`entity` is its canonical text (`JoinKeys.text`): the id, or JSON of several keys. `flags` and `moments` (of each view
that has a row of the user) are JSON. `threshold` is null where the target has none."""
RUN_COLUMNS = ("model", "version", "run_id", "fingerprint", "threshold", "as_of", "known_at")


@dataclass(frozen=True)
class ScoredChunk:
    """The rows of a chunk, and the run's tally up to it."""

    rows: arrow.Table
    tally: Tally


def scored_chunk(run: Run, chunk: Chunk, outcomes: Outcomes, before: Tally, *, scores: ScoreColumns) -> ScoredChunk:
    """`before` is the tally of the run without this chunk; `scores` makes the columns of the predictions."""
    answered, own = outcomes.answered, scores(outcomes.predictions)
    columns = {
        "entity": chunk.entities,
        **own,
        "code": outcomes.codes,
        "detail": outcomes.details,
        "flags": outcomes.flags,
        "moments": moments_text(chunk.columns),
        **{
            each.name: arrow.repeat(arrow.scalar(getattr(run, each.name), each.type), len(chunk))
            for each in FIELDS
            if each.name in RUN_COLUMNS
        },
        "scored_at": arrow.repeat(arrow.scalar(datetime.now(UTC), TIME), len(chunk)),
    }
    entity, *others = FIELDS
    schema = arrow.schema([entity, *(arrow.field(name, each.type) for name, each in own.items()), *others])
    flagged = sum(each is not None and each != NO_FLAGS for each in outcomes.flags)
    tally = before.plus(
        answered=int(answered.sum()), flagged=flagged, refused=refusals(outcomes), last=chunk.entities[-1].as_py()
    )
    return ScoredChunk(arrow.table(columns, schema), tally)


class ScoreWriter(Protocol):
    """Writes the scores of `run`, an earlier run that is resumed or a new one, under a lock.

    `tally` is the run's tally when the writer was opened.
    """

    run: Run
    tally: Tally
    complete: bool

    def write(self, chunk: ScoredChunk) -> None:
        """Writes a chunk and the new tally, both or none."""

    def finish(self, tally: Tally) -> None:
        """Marks the run as complete."""


class OpenWriter(Protocol):
    """Opens the writer of a run, or of an equal one that was begun earlier.

    With `any_known_at` that is the newest run of the model and `as_of` with `known_at_start`. Raises ScoringError where
    another process is scoring the same model and moment.
    """

    def __call__(self, run: Run, *, any_known_at: bool) -> AbstractContextManager[ScoreWriter]: ...


def already_running(run: Run) -> ScoringError:
    """The error where another process is scoring the same model and moment."""
    return ScoringError(
        f"Another run is scoring {run.title}: wait for it to end, then run the command again to see its result."
    )
