"""The formats of a batch's answer, JSON and Arrow, as bytes: a head, the items of each chunk, and a tail."""

from collections.abc import Callable, Sequence
from typing import Protocol

from pydantic_core import to_json

from asof.serving.batch.outcomes import ARROW, Item
from asof.serving.http.strict_json import JSON
from asof.serving.prediction.predictor import Predictor


class AnswerFormat(Protocol):
    """The encoder of one answer. Call its methods in this order, `chunk` for each chunk; any thread may call them."""

    media_type: str

    def head(self) -> bytes: ...

    def chunk(self, items: Sequence[Item]) -> bytes: ...

    def tail(self) -> bytes: ...


class JsonFormat:
    """One document with model, request_id and predictions."""

    media_type = JSON

    def __init__(self, predictor: Predictor, request_id: str) -> None:
        self._members = {"model": predictor.identity, "request_id": request_id}
        self._separator = b""

    def head(self) -> bytes:
        return to_json(self._members)[:-1] + b',"predictions":['

    def chunk(self, items: Sequence[Item]) -> bytes:
        separator, self._separator = self._separator, b","
        return separator + to_json(items)[1:-1]

    def tail(self) -> bytes:
        return b"]}"


def answer_format(accept: str) -> Callable[[Predictor, str], AnswerFormat]:
    """The format for an Accept header ("" without one): Arrow where it is preferred by name, else JSON.

    The result takes the predictor that answers and the request's id. The import of pyarrow blocks.
    """
    weights = _weights(accept)
    if weights.get(ARROW, 0.0) > weights.get(JSON, 0.0):
        # Imported here: pyarrow needs half as much memory as the rest of a worker, and a quarter of a second.
        from asof.serving.batch.arrow_format import ArrowFormat

        return ArrowFormat
    return JsonFormat


def _weights(accept: str) -> dict[str, float]:
    """The media types with their weights (RFC 9110, 12.5.1); 0 for an invalid weight."""
    weights = {}
    for part in accept.lower().split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        weights[name] = float(weight) if weight.replace(".", "", 1).isdecimal() else 0.0
    return weights
