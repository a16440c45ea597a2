"""The forms of an answer: what comes before the items, the items of each chunk, what comes after them, as bytes."""

from collections.abc import Callable, Sequence
from typing import Protocol

from pydantic_core import to_json

from asof.serving.batch.outcomes import Item
from asof.serving.http.strict_json import JSON
from asof.serving.prediction.predictor import Predictor, identity

ARROW = "application/vnd.apache.arrow.stream"


class Form(Protocol):
    """One answer on its way out. The calls come in this order, `piece` once for each chunk, in any thread."""

    media_type: str

    def head(self) -> bytes: ...

    def piece(self, items: Sequence[Item]) -> bytes: ...

    def tail(self) -> bytes: ...


class JsonForm:
    """One document: model and request_id, and then the predictions."""

    media_type = JSON

    def __init__(self, predictor: Predictor, request_id: str) -> None:
        self._common = {"model": identity(predictor.model, predictor.lineage), "request_id": request_id}
        self._between = b""

    def head(self) -> bytes:
        return to_json(self._common)[:-1] + b',"predictions":['

    def piece(self, items: Sequence[Item]) -> bytes:
        between, self._between = self._between, b","
        return between + to_json(items)[1:-1]

    def tail(self) -> bytes:
        return b"]}"


def form_kind(accept: str) -> Callable[[Predictor, str], Form]:
    """Arrow where a caller prefers it by name, JSON for everybody else. `accept` is the header, "" without one.

    Blocks: to be called in a thread. The result takes the predictor that answers and the request's id.
    """
    wishes = _wishes(accept)
    if wishes.get(ARROW, 0.0) > wishes.get(JSON, 0.0):
        # Imported here: pyarrow is half as large as all the rest of a worker, and takes a quarter of a second.
        from asof.serving.batch.arrow_answer import ArrowForm

        return ArrowForm
    return JsonForm


def _wishes(accept: str) -> dict[str, float]:
    """The media types with their weights (RFC 9110, 12.5.1); what is no number counts as nothing."""
    found = {}
    for part in accept.lower().split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        found[name] = float(weight) if weight.replace(".", "", 1).isdecimal() else 0.0
    return found
