"""The rows of a scored chunk, in PostgreSQL and in Parquet alike, and the interface of what writes them."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import pyarrow as arrow
from pyarrow import compute

from asof.errors import ScoringError
from training.scoring.judging import NO_FLAGS, Outcomes, moments_text, refusals
from training.scoring.reading import Chunk
from training.scoring.run import Run, Tally

TEXT, TIME = arrow.large_string(), arrow.timestamp("us", "UTC")
SCHEMA = arrow.schema(
    [
        arrow.field("entity", TEXT, nullable=False),
        arrow.field("probability", arrow.float64()),
        arrow.field("label", arrow.bool_()),
        arrow.field("code", TEXT),
        arrow.field("detail", TEXT),
        arrow.field("flags", TEXT),
        arrow.field("moments", TEXT, nullable=False),
        arrow.field("model", TEXT, nullable=False),
        arrow.field("version", TEXT, nullable=False),
        arrow.field("run_id", TEXT, nullable=False),
        arrow.field("fingerprint", TEXT, nullable=False),
        arrow.field("threshold", arrow.float64(), nullable=False),
        arrow.field("as_of", TIME, nullable=False),
        arrow.field("known_at", TIME, nullable=False),
        arrow.field("scored_at", TIME, nullable=False),
    ]
)
"""A row for each user. `entity` is its canonical text (`JoinKeys.text`): the id, or JSON of several keys. `flags` and
`moments` (of each view that has a row of the user) are JSON."""
RUN_COLUMNS = ("model", "version", "run_id", "fingerprint", "threshold", "as_of", "known_at")


@dataclass(frozen=True)
class ScoredChunk:
    """The rows of a chunk, in SCHEMA, and the run's tally up to it."""

    rows: arrow.Table
    tally: Tally


def scored_chunk(run: Run, chunk: Chunk, outcomes: Outcomes, before: Tally) -> ScoredChunk:
    """`before` is the tally of the run without this chunk."""
    answered = ~np.isnan(outcomes.probabilities)
    probabilities = arrow.array(outcomes.probabilities, mask=~answered)
    columns = {
        "entity": chunk.entities,
        "probability": probabilities,
        "label": compute.greater_equal(probabilities, run.threshold),
        "code": outcomes.codes,
        "detail": outcomes.details,
        "flags": outcomes.flags,
        "moments": moments_text(chunk.columns),
        **{
            name: arrow.repeat(arrow.scalar(getattr(run, name), SCHEMA.field(name).type), len(chunk))
            for name in RUN_COLUMNS
        },
        "scored_at": arrow.repeat(arrow.scalar(datetime.now(UTC), TIME), len(chunk)),
    }
    flagged = sum(each is not None and each != NO_FLAGS for each in outcomes.flags)
    tally = before.plus(
        answered=int(answered.sum()), flagged=flagged, refused=refusals(outcomes), last=chunk.entities[-1].as_py()
    )
    return ScoredChunk(arrow.table(columns, SCHEMA), tally)


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
