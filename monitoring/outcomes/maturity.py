"""When a prediction counts. This is the only definition.

A prediction is mature when the horizon of its `as_of` has ended and the labels of that `as_of` are complete: they were
loaded, or its outcomes were declared complete, at or after the end of the horizon. Until then no outcome of the moment
counts, an early positive neither: the negatives among the others are not known yet, and the share of positives would be
too high. A prediction whose features all come in the request has no horizon: it is mature once its outcome is known.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from asof.extracts.cadence import Cadence


class Maturity(StrEnum):
    """Whether a prediction counts, or what it lacks."""

    MATURE = "mature"
    WAITING = "waiting"
    """Its horizon has not ended; without a horizon: its outcome is not known."""
    INCOMPLETE = "incomplete"
    """The labels of its moment are not complete."""
    UNLABELLED = "unlabelled"
    """They are, and it has none."""


def maturity_of(as_of: datetime, cadence: Cadence, completed: Iterable[datetime], known_at: datetime) -> Maturity:
    """The maturity of predictions of `as_of` that have an outcome, as known at `known_at`.

    `completed` are the moments at which all labels of `as_of` were delivered, or declared complete.
    """
    end = cadence.labels_known(as_of)
    if known_at < end:
        return Maturity.WAITING
    return Maturity.MATURE if any(end <= each <= known_at for each in completed) else Maturity.INCOMPLETE
