"""The rows of a scored chunk, in PostgreSQL and in Parquet alike, and the interface of what writes them."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import pyarrow as arrow

from asof.errors import ScoringError
from asof.settings import Settings
from training.metrics.classification import Floats
from training.ranges.digest import rows_sum
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
    """The rows of a chunk, and their tally."""

    rows: arrow.Table
    tally: Tally


def scored_chunk(run: Run, chunk: Chunk, outcomes: Outcomes, scores: ScoreColumns) -> ScoredChunk:
    """`scores` makes the columns of the predictions."""
    own = scores(outcomes.predictions)
    said = {
        "entity": chunk.entities,
        **own,
        "code": outcomes.codes,
        "detail": outcomes.details,
        "flags": outcomes.flags,
        "moments": moments_text(chunk.columns),
    }
    of_run = {
        each.name: arrow.repeat(arrow.scalar(getattr(run, each.name), each.type), len(chunk))
        for each in FIELDS
        if each.name in RUN_COLUMNS
    }
    rows = said | of_run | {"scored_at": arrow.repeat(arrow.scalar(datetime.now(UTC), TIME), len(chunk))}
    table = arrow.table(rows, row_schema({name: each.type for name, each in own.items()}))
    return ScoredChunk(table, _tally(outcomes, rows_sum(table.select([*said]))))


def row_schema(scores: Mapping[str, arrow.DataType]) -> arrow.Schema:
    """The schema of rows whose columns of predictions have these types."""
    entity, *others = FIELDS
    return arrow.schema([entity, *(arrow.field(name, each) for name, each in scores.items()), *others])


def _tally(outcomes: Outcomes, digest: str) -> Tally:
    return Tally(
        scored=len(outcomes.codes),
        answered=int(outcomes.answered.sum()),
        flagged=sum(each is not None and each != NO_FLAGS for each in outcomes.flags),
        refused=refusals(outcomes),
        digest=digest,
    )


class RangeWriter(Protocol):
    """Writes the scores of ranges, in any process; it is pickled for others."""

    def write(self, settings: Settings, number: int, chunks: Iterator[ScoredChunk]) -> Tally:
        """Writes the rows of a range with their tally, both or none; the tally of before where it is written."""


class OpenRun(Protocol):
    """The run that is scored, an earlier one that is resumed or a new one, under a lock.

    `tally` is that of its ranges with a number in `done`. `cuts` are the entities at which its ranges begin, as text;
    None: it has no plan yet, or not any more.
    """

    run: Run
    tally: Tally
    complete: bool
    cuts: Sequence[str] | None
    done: Collection[int]

    def begin(self, cuts: Sequence[str]) -> RangeWriter:
        """Records the run and its plan, unless they are, and returns what writes its ranges."""

    def advance(self, tally: Tally) -> None:
        """Records the tally of what is written."""

    def finish(self, tally: Tally) -> None:
        """Marks the run as complete; its plan is not needed any more, and has ids of users."""


class FindRun(Protocol):
    """Opens a run, or an equal one that was begun earlier.

    With `any_known_at` that is the newest run of the model and `as_of` with `known_at_start`. Raises ScoringError where
    another process is scoring the same model and moment.
    """

    def __call__(self, run: Run, *, any_known_at: bool) -> AbstractContextManager[OpenRun]: ...


def already_running(run: Run) -> ScoringError:
    """The error where another process is scoring the same model and moment."""
    return ScoringError(
        f"Another run is scoring {run.title}: wait for it to end, then run the command again to see its result."
    )
