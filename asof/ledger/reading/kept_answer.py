"""A row of `ledger.predictions` and its model -> KeptAnswer: an answer with each value in the type of its feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from asof.inference.verdicts import Verdict
from asof.ledger.schema import VERDICT_LETTERS
from asof.targets import Prediction

VERDICTS = {letter: Verdict(name) for name, letter in VERDICT_LETTERS.items()}
ERASED = "erased"
"""The code of an answer that was erased: its entity, values and score are gone."""


@dataclass(frozen=True)
class KeptModel:
    """What answered, a row of `ledger.models`: a model, or a service without one, whose `run_id` is empty.

    `features` are objects with name, type, view, kind and place, in the order of the contract.
    """

    id: int
    use_case: str
    name: str
    version: str | None
    run_id: str
    bento: str
    fingerprint: str
    feature_service: str | None
    features: Sequence[Mapping[str, Any]]
    views: Sequence[str]
    threshold: float | None
    classes: Sequence[str] | None
    unit: str | None


@dataclass(frozen=True)
class KeptValue:
    """A value behind an answer; `view` is None where it was given in the request, `as_of` where there is no moment.

    An OVERRIDDEN value is the request's own, in place of the stored one, and has no moment.

    A null in the store is None with the verdict NULL, an absent row None with NOT_FOUND.
    """

    feature: str
    view: str | None
    type: str
    value: float | int | bool | str | None
    as_of: datetime | None
    verdict: Verdict


@dataclass(frozen=True)
class KeptAnswer:
    """An answer as it was kept; moments are in UTC.

    `prediction` is None for a refusal, whose `status` and `code` are those of the problem. `item` is the place in a
    batch. `values` is empty where nothing was read. `entity` is the id, or JSON of several keys.
    """

    at: datetime
    request: str
    item: int | None
    caller_id: str | None
    api_key: str | None
    entity: str | None
    status: int
    code: str | None
    prediction: Prediction | None
    decision: int | None
    target_as_of: datetime | None
    model: KeptModel
    values: tuple[KeptValue, ...]

    @property
    def request_id(self) -> str:
        """The id that its caller knows; of a batch's item with its place."""
        own = self.caller_id or self.request
        return own if self.item is None else f"{own}:{self.item}"

    @property
    def hypothetical(self) -> bool:
        """Whether it answers a what-if request, some of whose values are its own."""
        return any(each.verdict is Verdict.OVERRIDDEN for each in self.values)

    @property
    def answer(self) -> str | None:
        """The name of the answered class; None for a number or a refusal."""
        classes = self.model.classes
        return classes[self.decision] if classes and self.decision is not None else None


def answer_as_json(kept: KeptAnswer) -> dict[str, Any]:
    """For `--json`: moments as datetimes, infinite numbers as text, and of the model what names it."""
    names = ("name", "version", "run_id", "bento", "fingerprint")
    own = (
        "at",
        "entity",
        "status",
        "code",
        "prediction",
        "decision",
        "answer",
        "hypothetical",
        "target_as_of",
        "api_key",
    )
    return {
        "request_id": kept.request_id,
        **{name: getattr(kept, name) for name in own},
        "model": {name: getattr(kept.model, name) for name in names},
        "values": [vars(each) | {"value": _finite(each.value)} for each in kept.values],
    }


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def kept_answer(row: Mapping[str, Any], model: KeptModel) -> KeptAnswer:
    """The answer of a row with the columns of `asof.ledger.reading.find`."""
    prediction = row["score"] if row["scores"] is None else row["scores"]
    return KeptAnswer(
        at=row["at"].astimezone(UTC),
        request=str(row["request"]),
        item=row["item"],
        caller_id=row["caller_id"],
        api_key=row["api_key"],
        entity=row["entity"],
        status=row["status"],
        code=row["code"],
        prediction=prediction,
        decision=row["decision"],
        target_as_of=_utc(row["target_as_of"]),
        model=model,
        values=tuple(_values(row, model)),
    )


def _values(row: Mapping[str, Any], model: KeptModel) -> list[KeptValue]:
    if row["floats"] is None and row["integers"] is None and row["texts"] is None:
        return []
    verdicts = row["verdicts"] or "P" * len(model.features)
    return [
        KeptValue(
            feature["name"],
            feature["view"],
            feature["type"],
            _value(row[feature["kind"]][feature["place"] - 1], feature["type"]),
            _moment(row, model, number) if VERDICTS[verdicts[number]] is not Verdict.OVERRIDDEN else None,
            VERDICTS[verdicts[number]],
        )
        for number, feature in enumerate(model.features)
    ]


def _value(kept: Any, dtype: str) -> Any:
    return bool(kept) if dtype == "Bool" and kept is not None else kept


def _moment(row: Mapping[str, Any], model: KeptModel, number: int) -> datetime | None:
    """As the view `ledger.answered_values` has it."""
    view, moments = model.features[number]["view"], row["moments"]
    if view is None:
        return None
    if moments is None:
        return _utc(row["target_as_of"])
    place = model.views.index(view) if len(moments) == len(model.views) else number
    return _utc(moments[place]) if place < len(moments) else None


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.astimezone(UTC)
