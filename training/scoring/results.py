"""A judged chunk -> its rows as they are kept, in PostgreSQL and in Parquet alike."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import pyarrow as arrow
from pyarrow import compute

from asof.errors import ScoringError
from training.scoring.judging import NO_FLAGS, Judged, moments_text, refusals
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
"""One row for each user. `flags` and `moments` (of each view that has a row of the user) are JSON."""
OF_THE_RUN = ("model", "version", "run_id", "fingerprint", "threshold", "as_of", "known_at")


@dataclass(frozen=True)
class Results:
    """The rows of one chunk, in SCHEMA, and the tally of the run with them."""

    rows: arrow.Table
    tally: Tally


def results(run: Run, chunk: Chunk, judged: Judged, before: Tally) -> Results:
    """`before` is the tally of the run without this chunk."""
    answered = ~np.isnan(judged.probabilities)
    probabilities = arrow.array(judged.probabilities, mask=~answered)
    columns = {
        "entity": chunk.entities,
        "probability": probabilities,
        "label": compute.greater_equal(probabilities, run.threshold),
        "code": judged.codes,
        "detail": judged.details,
        "flags": judged.flags,
        "moments": moments_text(chunk.found),
        **{
            name: arrow.repeat(arrow.scalar(getattr(run, name), SCHEMA.field(name).type), len(chunk))
            for name in OF_THE_RUN
        },
        "scored_at": arrow.repeat(arrow.scalar(datetime.now(UTC), TIME), len(chunk)),
    }
    flagged = sum(each is not None and each != NO_FLAGS for each in judged.flags)
    tally = before.plus(
        answered=int(answered.sum()), flagged=flagged, refused=refusals(judged), last=chunk.entities[-1].as_py()
    )
    return Results(arrow.table(columns, SCHEMA), tally)


class Place(Protocol):
    """A run of its own in a place of results; nobody else writes it meanwhile.

    `run` is the one that goes on, or the new one; `tally` is how far it had come when it was opened.
    """

    run: Run
    tally: Tally
    complete: bool

    def write(self, results: Results) -> None:
        """Keeps one chunk and the new tally, both or none."""

    def finish(self, tally: Tally) -> None:
        """Marks the run as complete."""


class Opener(Protocol):
    """`any_known_at`: go on with the newest run of this model and moment that is `of_its_day`, if there is one.

    Raises ScoringError where another process is at a run of the same model and moment.
    """

    def __call__(self, run: Run, *, any_known_at: bool) -> AbstractContextManager[Place]: ...


def busy(run: Run) -> ScoringError:
    """The error where another process is at the same."""
    return ScoringError(
        f"Another run is scoring {run.title}: wait until it has ended, and run the command again to see what it did."
    )
