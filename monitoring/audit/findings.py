"""Finding: what a served value turned out to be, beside the rows of its entity; and the first one of each kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from training.audit.lineage.loads import Load
from training.audit.lineage.values import Materialised


class Finding(StrEnum):
    """The seven kinds. Of a value v with moment t, served at T from a view, and the rows of its entity:"""

    SAME = "same"
    """v is the row that the online store had to hold at T, and still right."""
    LATE_DATA = "late-data"
    """v was right at T; a row that became known later has another value for the same snapshot."""
    STORE_BEHIND = "store-behind"
    """v is an older row: a newer one was due in the online store."""
    FUTURE_VALUE = "future-value"
    """t is after T, or v's row became known after T."""
    SERVING_BUG = "serving-bug"
    """There is a row of t, and its value is not v."""
    UNKNOWN_VALUE = "unknown-value"
    """No row of the entity is of t."""
    TRAINING_LEAK = "training-leak"
    """Not of v: the model was trained on a value that became known after its training set's `known_at`, or later."""


INFORMATION = frozenset({Finding.SAME, Finding.LATE_DATA})
"""Findings that ask nobody to act; all others are errors."""
SERVED: tuple[Finding, ...] = tuple(each for each in Finding if each is not Finding.TRAINING_LEAK)
"""The kinds of served values; each has exactly one."""
NEXT_STEPS: Mapping[Finding, str] = {
    Finding.LATE_DATA: "nothing is broken; deliver earlier, or wait longer before you score, if the share matters",
    Finding.STORE_BEHIND: "run `python -m flows ingest`, and see why it did not run, or failed, after that load",
    Finding.FUTURE_VALUE: "check the clocks and --as-of of `flows ingest`, and who else writes the store or the table",
    Finding.SERVING_BUG: "see `python -m flows parity`, the view's types and query, and who writes the online store",
    Finding.UNKNOWN_VALUE: "see who else writes the online store; `python -m flows ingest --whole` rewrites it",
    Finding.TRAINING_LEAK: "do not trust its metrics: run `python -m flows retrain`",
}


@dataclass(frozen=True)
class Divergence:
    """The first value of a kind, by time. `offline` is what the rows say, None for a null, or without times for no row.

    `load` brought that row (None: not recorded), `materialised` is the last one before the answer, `covered` the first
    that had that row. `why` is a sentence. Of a training leak `request_id` is empty, `at` the moment of `known_at`, and
    `served` the value in the training set.
    """

    finding: Finding
    request_id: str
    at: datetime
    entity: Any
    version: str
    view: str
    table: str
    feature: str
    type: str
    served: Any
    served_as_of: datetime | None
    offline: Any
    offline_as_of: datetime | None
    offline_created_at: datetime | None
    load: Load | None
    materialised: Materialised | None
    covered: Materialised | None
    why: str
    next_step: str
