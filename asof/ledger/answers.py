"""Answers of the service as the ledger keeps them, with the values that they rest on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asof.inference.verdicts import Verdict

Verdicts = Mapping[str, Verdict]
"""Of the features of one answer; those that are not among them are present."""


class ReadValues(NamedTuple):
    """The values behind one answer, by feature.

    `moments` are the members of `asof.inference.verdicts.row_moments`, among others: `as_of` by view and, for the views
    whose features differ, `as_of_features` by feature. Without `as_of` no value is from a store.
    """

    values: Mapping[str, Any]
    moments: Mapping[str, Any]
    verdicts: Verdicts | None = None


@dataclass(frozen=True, slots=True)
class ReadColumns:
    """The values behind n answers: for each feature values and nulls, each of shape (n,).

    `moments`: of each view, or of each feature where those of a view differ; shape (n, views or features),
    microseconds since 1970.
    """

    values: Mapping[str, NDArray[Any]]
    nulls: Mapping[str, NDArray[np.bool_]]
    moments: NDArray[np.int64]


class Answer(NamedTuple):
    """One answer that is not a batch's: its entity, and a prediction with its decision or a problem."""

    entity: str | None
    status: int = 200
    code: str | None = None
    prediction: Any = None
    decision: int | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of a batch, n of each: places in the batch, entities, predictions and decisions (None: a problem).

    `problems` are status and code, by index; `verdicts` too. `rows` are the answers' rows of ReadColumns (None: nothing
    was read).
    """

    items: Sequence[int]
    entities: Sequence[str | None]
    predictions: Sequence[Any]
    decisions: Sequence[int | None]
    problems: Mapping[int, tuple[int, str]]
    verdicts: Mapping[int, Verdicts]
    rows: Sequence[int | None]


class Single(NamedTuple):
    """The answer to a request of its own: the request's id, the name of its API key, and what was read (None: nothing).

    Not a frozen dataclass, nor are the others of its kind: one is made for each answer, in a third of the time.
    """

    request_id: str
    api_key: str | None
    answer: Answer
    read: ReadValues | None
