"""The response of an inference: the answers of rows as tensors, column by column."""

from collections.abc import Sequence
from functools import lru_cache
from math import nan, prod
from typing import Any
from weakref import WeakKeyDictionary

from pydantic_core import to_json

from asof.serving.batch.keeping import KEPT
from asof.serving.batch.outcomes import Answered, Item, problem_item
from asof.serving.http.problems import Occurrence
from asof.serving.http.strict_json import JSON
from asof.serving.prediction.predictor import Prediction, Predictor
from asof.targets.tensors import Tensor

EVIDENCE, PROBLEM = "evidence", "problem"
MISSING = {"FP64": nan, "BYTES": ""}
"""What a row with a problem has. NaN is sent as the text "NaN", as in protobuf's JSON.

A null is not in the protocol's schema, and some clients would read it as 0.
"""


def _evidence(item: Item) -> list[str]:
    return [to_json({**item.get(EVIDENCE, {}), KEPT: item[KEPT]}).decode()]


def _problem(item: Item) -> list[str]:
    return [to_json(item[PROBLEM]).decode() if PROBLEM in item else ""]


TEXTS = (Tensor(EVIDENCE, "BYTES", (), _evidence), Tensor(PROBLEM, "BYTES", (), _problem))
"""Outputs beside the target's: JSON of each row's verdicts, and of its problem (an empty text where it has none)."""


def item(answered: Answered, default: Predictor, occurrence: Occurrence) -> dict[str, Any]:
    """The score of a row with the evidence, or its problem."""
    outcome = answered.outcome
    if not isinstance(outcome, Prediction):
        return problem_item(outcome, occurrence)
    predictor = answered.predictor
    evidence = dict(outcome.evidence)
    if predictor is not default:
        evidence["model"] = predictor.identity
    return {"score": predictor.model.facts.output.score(outcome.score), EVIDENCE: evidence}


class InferFormat:
    """The response of an inference: the `wanted` outputs as tensors, column by column."""

    media_type = JSON

    def __init__(self, predictor: Predictor, request_id: str, *, wanted: Sequence[Tensor], own_id: str | None) -> None:
        self._predictor, self._wanted, self._rows = predictor, wanted, 0
        self._id = request_id if own_id is None else own_id
        self._parts: list[list[bytes]] = [[] for _ in wanted]

    def head(self) -> bytes:
        return b""

    def chunk(self, items: Sequence[Item]) -> bytes:
        """Nothing yet: the first tensor has a value of every row."""
        for tensor, parts in zip(self._wanted, self._parts, strict=True):
            parts.append(_elements([value for each in items for value in _values(tensor, each)]))
        self._rows += len(items)
        return b""

    def tail(self) -> bytes:
        outputs = (
            _opening(each.name, each.datatype, (self._rows, *each.shape)) + b",".join(parts) + b"]}"
            for each, parts in zip(self._wanted, self._parts, strict=True)
        )
        own_id = to_json(self._id)
        return _model(self._predictor)[:-1] + b',"id":' + own_id + b',"outputs":[' + b",".join(outputs) + b"]}"


def _values(tensor: Tensor, row: Item) -> list[Any]:
    if tensor.name in (EVIDENCE, PROBLEM):
        return tensor.values(row)
    score = row.get("score")
    return [MISSING[tensor.datatype]] * prod(tensor.shape) if score is None else tensor.values(score)


def _elements(values: list[Any]) -> bytes:
    return to_json(values, inf_nan_mode="strings")[1:-1]


@lru_cache(maxsize=100)
def _opening(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    """An output up to its elements."""
    return to_json({"name": name, "datatype": datatype, "shape": shape})[:-1] + b',"data":['


_models: WeakKeyDictionary[Predictor, bytes] = WeakKeyDictionary()


def _model(predictor: Predictor) -> bytes:
    """The members on the model as JSON, made once for each predictor. Parameters are texts, numbers or booleans."""
    if (made := _models.get(predictor)) is not None:
        return made
    known = {name: value for name, value in predictor.identity.items() if value is not None}
    name, version = known.pop("name"), known.pop("version", None)
    members = {"model_name": name} | ({"model_version": version} if version else {}) | {"parameters": known}
    return _models.setdefault(predictor, to_json(members))
