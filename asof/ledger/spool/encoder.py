"""Encoder: the answers of one model -> frames of the spool, many at once.

Those that the service computes together are one frame: each takes about three microseconds, alone it would take ten.
"""

import struct
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.ledger.answers import Answer, Answers, ReadColumns, ReadValues, Single, Verdicts
from asof.ledger.model_record import FLOATS, INTEGERS, TEXTS, ModelRecord
from asof.ledger.request_id import ledger_ids
from asof.ledger.schema import VERDICT_LETTERS
from asof.ledger.spool.frames import NO_MOMENT, NONE, encode

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


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

    def singles(self, singles: Sequence[Single]) -> bytes:
        """The frames of single answers: one for all that have values and scores of the same widths."""
        forms: dict[tuple[int, int], list[tuple[Single, list[int]]]] = {}
        for each in singles:
            moments = self._moments(each.read.moments) if each.read else []
            form = len(moments), -1 if each.read is None else len(_scores(each.answer.prediction))
            forms.setdefault(form, []).append((each, moments))
        return b"".join(map(self._frame, forms.values()))

    def one(self, request_id: str, api_key: str | None, answer: Answer, read: ReadValues | None) -> bytes:
        """The frame of a single answer."""
        return self.singles([Single(request_id, api_key, answer, read)])

    def _frame(self, alike: Sequence[tuple[Single, list[int]]]) -> bytes:
        """The frame of answers with as many moments and scores, all with values or all without."""
        singles = [single for single, _ in alike]
        answers, reads = [each.answer for each in singles], [each.read for each in singles]
        header = self._header([each.request_id for each in singles], [each.entity for each in answers])
        if keys := {place: each.api_key for place, each in enumerate(singles) if each.api_key is not None}:
            header["keys"] = keys
        if problems := {place: (each.status, each.code) for place, each in enumerate(answers) if each.code is not None}:
            header["problems"] = problems
        numbers = [*self._values(header, [read for read in reads if read]), *(moments for _, moments in alike)]
        scores = [_scores(each.prediction) for each in answers]
        count, valued = len(singles), sum(read is not None for read in reads)
        widths = (len(self._floats), len(self._integers)) if valued else (0, 0)
        header["shape"] = (count, valued, *widths, len(alike[0][1]), len(scores[0]))
        decisions = [NONE if each.decision is None else each.decision for each in answers]
        cells = chain.from_iterable((*numbers, *scores, (NONE,) * count, decisions))
        return encode(header, _packer(*header["shape"])(*cells))

    def _values(self, header: dict[str, Any], reads: Sequence[ReadValues]) -> list[list[Any]]:
        """The floats of all rows, then the integers of all rows; adds verdicts, nulls and texts to the header."""
        if verdicts := {place: self._letters(each.verdicts) for place, each in enumerate(reads) if each.verdicts}:
            header["verdicts"] = verdicts
        values = [each.values for each in reads]
        if self._texts and values:
            header["texts"] = [_texts([row.get(name) for name in self._texts]) for row in values]
        floats, integers = (
            [row.get(name) for row in values for name in names] for names in (self._floats, self._integers)
        )
        if None in floats or None in integers:
            header["nulls"] = {FLOATS: _nulls(floats), INTEGERS: _nulls(integers)}
            floats, integers = ([0 if each is None else each for each in some] for some in (floats, integers))
        return [floats, integers]

    def many(self, request_id: str, api_key: str | None, answers: Answers, read: ReadColumns | None) -> bytes:
        """The frame of a batch's answers."""
        header = self._header([request_id], answers.entities)
        if api_key is not None:
            header["keys"] = {0: api_key}
        if answers.problems:
            header["problems"] = answers.problems
        if answers.verdicts:
            header["verdicts"] = {place: self._letters(each) for place, each in answers.verdicts.items()}
        valued = [place for place, row in enumerate(answers.rows) if row is not None]
        rows = np.array([answers.rows[place] for place in valued], dtype=np.int64)
        if len(valued) < len(answers.rows):
            header["valued"] = valued
        scores = _score_matrix(answers.predictions)
        blocks = [*(self._read_blocks(header, read, rows) if read and valued else [np.zeros((0, 0))] * 3), scores]
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

    def _header(self, request_ids: Sequence[str], entities: Sequence[str | None]) -> dict[str, Any]:
        """A single request is that of all answers."""
        ids = [ledger_ids(each) for each in request_ids]
        header: dict[str, Any] = {
            "model": self.model,
            "at": time.time_ns() // 1000,
            "requests": [request for request, _ in ids],
            "entities": entities,
        }
        if callers := {place: caller for place, (_, caller) in enumerate(ids) if caller is not None}:
            header["callers"] = callers
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
        if len(by_view) == len(self.record.views):
            each = list(by_view.values())
            if each.count(each[0]) == len(each):
                return [_microseconds(each[0])]
        return [_microseconds(by_view.get(view)) for view in self.record.views]


@cache
def _packer(count: int, valued: int, floats: int, integers: int, moments: int, scores: int) -> Callable[..., bytes]:
    """Packs the blocks of single answers."""
    form = f"<{valued * floats}d{valued * integers}q{valued * moments}q{count * scores}d{2 * count}h"
    return struct.Struct(form).pack


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
    if name not in read.nulls:
        return _texts(values)
    nulls = read.nulls[name][rows].tolist()
    return _texts([None if null else each for each, null in zip(values, nulls, strict=True)])


def _nulls(values: Sequence[Any]) -> list[int]:
    return [place for place, each in enumerate(values) if each is None]


def _texts(values: list[Any]) -> list[str | None]:
    """The values as text, without NUL, which PostgreSQL's text cannot have; nearly always they are that already."""
    try:
        if "\x00" not in "".join(values):
            return values
    except TypeError:  # a null, or no text
        pass
    return [None if each is None else str(each).replace("\x00", "\ufffd") for each in values]


def _microseconds(moment: datetime | None) -> int:
    return NO_MOMENT if moment is None else (moment - EPOCH) // MICROSECOND
