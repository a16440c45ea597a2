"""Answers of the service -> frames of the spool. One answer takes a few microseconds, one of a batch a fraction."""

import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asof.inference.verdicts import Verdict
from asof.ledger.frames import NO_MOMENT, NONE, encode
from asof.ledger.model_record import FLOATS, INTEGERS, TEXTS, ModelRecord
from asof.ledger.request_id import ledger_ids
from asof.ledger.schema import VERDICT_LETTERS

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
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


class Encoder:
    """Encodes the answers of one model, or of a service without one."""

    def __init__(self, record: ModelRecord) -> None:
        self.record = record
        self.model: int = record.row["id"]
        self._floats, self._integers, self._texts = (record.columns[kind] for kind in (FLOATS, INTEGERS, TEXTS))
        self._place = {each.name: place for place, each in enumerate(record.features)}

    @cached_property
    def description(self) -> bytes:
        """The frame that describes the model, to be written to a file before the model's answers."""
        return encode({"describes": self.record.row})

    def one(self, request_id: str, api_key: str | None, answer: Answer, read: ReadValues | None) -> bytes:
        """The frame of a single answer."""
        header, scores = self._header(request_id, api_key, [answer.entity]), _scores(answer.prediction)
        if answer.code is not None:
            header["problems"] = {0: (answer.status, answer.code)}
        floats, integers, moments = self._numbers(header, read) if read else NO_NUMBERS
        widths = len(floats), len(integers), len(moments), len(scores)
        header["shape"] = (1, int(read is not None), *widths)
        decision = NONE if answer.decision is None else answer.decision
        return encode(header, _packer(*widths)(*floats, *integers, *moments, *scores, NONE, decision))

    def _numbers(self, header: dict[str, Any], read: ReadValues) -> tuple[list[Any], list[Any], list[int]]:
        """Floats, integers and moments of a single answer; adds verdicts, nulls and texts to the header."""
        values = read.values
        floats, integers = [values.get(name) for name in self._floats], [values.get(name) for name in self._integers]
        if read.verdicts:
            header["verdicts"] = {0: self._letters(read.verdicts)}
        if None in floats or None in integers:
            header["nulls"] = {FLOATS: _nulls(floats), INTEGERS: _nulls(integers)}
            floats, integers = ([0 if each is None else each for each in some] for some in (floats, integers))
        if self._texts:
            header["texts"] = [[_text(values.get(name)) for name in self._texts]]
        return floats, integers, self._moments(read.moments)

    def many(self, request_id: str, api_key: str | None, answers: Answers, read: ReadColumns | None) -> bytes:
        """The frame of a batch's answers."""
        header = self._header(request_id, api_key, answers.entities)
        if answers.problems:
            header["problems"] = answers.problems
        if answers.verdicts:
            header["verdicts"] = {place: self._letters(each) for place, each in answers.verdicts.items()}
        valued = [place for place, row in enumerate(answers.rows) if row is not None]
        rows = np.array([answers.rows[place] for place in valued], dtype=np.int64)
        if len(valued) < len(answers.rows):
            header["valued"] = valued
        scores = _score_matrix(answers.predictions)
        blocks = [*(self._read_blocks(header, read, rows) if read and valued else [rows[:, :0]] * 3), scores]
        header["shape"] = (len(answers.items), len(valued), *(each.shape[1] for each in blocks))
        decisions = [NONE if each is None else each for each in answers.decisions]
        numbers = np.array([answers.items, decisions], dtype="<i2")
        return encode(header, *(each.tobytes() for each in (*blocks, numbers)))

    def _read_blocks(
        self, header: dict[str, Any], read: ReadColumns, rows: NDArray[np.int64]
    ) -> tuple[NDArray[Any], ...]:
        """The blocks floats, integers and moments; adds nulls and texts to the header."""
        floats, float_nulls = _matrix(read, self._floats, rows, "<f8")
        integers, integer_nulls = _matrix(read, self._integers, rows, "<i8")
        if float_nulls or integer_nulls:
            header["nulls"] = {FLOATS: float_nulls, INTEGERS: integer_nulls}
        if self._texts:
            header["texts"] = list(zip(*(_text_column(read, name, rows) for name in self._texts), strict=True))
        return floats, integers, read.moments[rows].astype("<i8")

    def _header(self, request_id: str, api_key: str | None, entities: Sequence[str | None]) -> dict[str, Any]:
        request, caller = ledger_ids(request_id)
        header: dict[str, Any] = {
            "model": self.model,
            "at": time.time_ns() // 1000,
            "request": request,
            "entities": entities,
        }
        if caller is not None:
            header["caller"] = caller
        if api_key is not None:
            header["key"] = api_key
        return header

    def _letters(self, verdicts: Verdicts) -> str:
        letters = [VERDICT_LETTERS["PRESENT"]] * len(self._place)
        for name, verdict in verdicts.items():
            letters[self._place[name]] = VERDICT_LETTERS[verdict]
        return "".join(letters)

    def _moments(self, moments: Mapping[str, Any]) -> list[int]:
        """Of each view, or of each feature where those of a view differ; a single one where all are the same."""
        by_view = moments.get("as_of")
        if by_view is None:
            return []
        if by_feature := moments.get("as_of_features"):
            features = self.record.features
            return [_microseconds(by_feature.get(each.name, by_view.get(each.view))) for each in features]
        first, *others = by_view.values()
        if len(others) + 1 == len(self.record.views) and all(each == first for each in others):
            return [_microseconds(first)]
        return [_microseconds(by_view.get(view)) for view in self.record.views]


NO_NUMBERS: tuple[list[Any], list[Any], list[int]] = ([], [], [])


@cache
def _packer(floats: int, integers: int, moments: int, scores: int) -> Callable[..., bytes]:
    """Packs the blocks of a single answer."""
    return struct.Struct(f"<{floats}d{integers}q{moments}q{scores}d2h").pack


def _scores(prediction: Any) -> Sequence[float]:
    if prediction is None:
        return ()
    return prediction if isinstance(prediction, list) else (prediction,)


def _score_matrix(predictions: Sequence[Any]) -> NDArray[np.float64]:
    """The predictions, shape (n, width), NaN where there is none."""
    if None in predictions:
        width = max(len(_scores(each)) for each in predictions)
        predictions = [(np.nan,) * width if each is None else _scores(each) for each in predictions]
    return np.asarray(predictions, dtype="<f8").reshape(len(predictions), -1 if len(predictions) else 0)


def _matrix(
    read: ReadColumns, names: Sequence[str], rows: NDArray[np.int64], dtype: Any
) -> tuple[NDArray[Any], list[int]]:
    """The values of some features, shape (rows, features), and the flat places of the nulls among them."""
    matrix = np.zeros((len(rows), len(names)), dtype=dtype)
    nulls = np.zeros(matrix.shape, dtype=bool)
    for place, name in enumerate(names):
        nulls[:, place] = read.nulls[name][rows] if name in read.nulls else False
        values = read.values[name][rows]
        matrix[:, place] = np.where(nulls[:, place], 0, values) if values.dtype == object else values
    return matrix, np.flatnonzero(nulls).tolist()


def _text_column(read: ReadColumns, name: str, rows: NDArray[np.int64]) -> list[str | None]:
    values = read.values[name][rows].tolist()
    if name not in read.nulls or not read.nulls[name].any():
        return [_text(each) for each in values]
    nulls = read.nulls[name][rows].tolist()
    return [None if null else _text(each) for each, null in zip(values, nulls, strict=True)]


def _nulls(values: Sequence[Any]) -> list[int]:
    return [place for place, each in enumerate(values) if each is None]


def _text(value: Any) -> str | None:
    """PostgreSQL's text cannot have a NUL."""
    return None if value is None else str(value).replace("\x00", "\ufffd")


def _microseconds(moment: datetime | None) -> int:
    return NO_MOMENT if moment is None else (moment - EPOCH) // MICROSECOND
