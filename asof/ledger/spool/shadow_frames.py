"""What a challenger says of the answers in a frame -> a frame of shadow scores.

It has moment, requests and items of the answers, so that both are in the same month and are joined by these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asof.ledger.spool.frames import CHALLENGER, NONE, encode

FAILED, CRASHED = "failed", "crashed"
"""The codes of answers at which the challenger failed, and of those before which its process ended."""
STATUS = 500


@dataclass(frozen=True)
class ShadowScores:
    """Predictions and decisions for n answers of one frame, None where the challenger has none.

    `at` is in microseconds since 1970; `codes` says why there is no prediction, by index.
    """

    at: int
    requests: Sequence[str]
    entities: Sequence[str | None]
    items: Sequence[int]
    predictions: Sequence[Any]
    decisions: Sequence[int | None]
    codes: Mapping[int, str]


def encode_scores(challenger: int, scores: ShadowScores) -> bytes:
    """The frame; `challenger` is the id of its model."""
    width = max((len(_numbers(each)) for each in scores.predictions if each is not None), default=1)
    absent = (np.nan,) * width
    rows = [absent if each is None else _numbers(each) for each in scores.predictions]
    matrix = np.asarray(rows, dtype="<f8").reshape(len(rows), width)
    decisions = [NONE if each is None else each for each in scores.decisions]
    header: dict[str, Any] = {
        CHALLENGER: challenger,
        "at": scores.at,
        "requests": scores.requests,
        "entities": scores.entities,
        "shape": (len(rows), 0, 0, 0, 0, width),
    }
    if scores.codes:
        header["problems"] = {place: (STATUS, code) for place, code in scores.codes.items()}
    return encode(header, matrix.tobytes(), np.array([scores.items, decisions], dtype="<i2").tobytes())


def _numbers(prediction: Any) -> Sequence[float]:
    return prediction if isinstance(prediction, list) else (prediction,)
