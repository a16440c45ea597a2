"""A judged chunk -> its rows as they are kept, in PostgreSQL and in Parquet alike."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as arrow
from pyarrow import compute

from training.scoring.chunks import Chunk
from training.scoring.judged import NO_FLAGS, Judged, moments_text, refusals
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
