"""The answers of the service as plain types."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

COMMON = frozenset({"model", "request_id", "as_of", "as_of_features", "flags", "kept"})
"""Members of an answer that are not the use case's own."""


@dataclass(frozen=True)
class Model:
    """The model that answered, and its lineage; `version` is None where it is not registered."""

    name: str
    version: str | None
    run_id: str
    bento: str
    fingerprint: str
    feature_service: str | None
    as_of: datetime
    git_commit: str


@dataclass(frozen=True)
class Prediction:
    """One prediction: `values` are the use case's own members, which `prediction["probability"]` reads too.

    `as_of` is the moment of each view's values (empty: the features came in the request), `as_of_features` that of each
    feature where those of a view differ; `flags` are values that were used although they are odd; `kept` is how the
    ledger keeps the answer: disk, process or none.
    """

    values: Mapping[str, Any]
    model: Model
    request_id: str
    as_of: Mapping[str, datetime]
    as_of_features: Mapping[str, datetime]
    flags: tuple[Mapping[str, Any], ...]
    kept: str

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


@dataclass(frozen=True)
class OutcomeVerdict:
    """What became of a reported outcome: accepted, corrected, unchanged, unknown or rejected, the last two with why."""

    verdict: str
    reason: str | None = None


def model_of(members: Mapping[str, Any]) -> Model:
    """Of an answer's member `model`; members that this version does not know are left out."""
    known = {each.name: members[each.name] for each in fields(Model)}
    return Model(**known | {"as_of": moment(members["as_of"])})


def prediction_of(item: Mapping[str, Any], model: Model, request_id: str, kept: str) -> Prediction:
    """Of an answer of POST /predict, or of an item of a batch; `model` and `kept` where the item has none."""
    return Prediction(
        values={name: value for name, value in item.items() if name not in COMMON},
        model=model_of(item["model"]) if "model" in item else model,
        request_id=request_id,
        as_of=_moments(item.get("as_of")),
        as_of_features=_moments(item.get("as_of_features")),
        flags=tuple(item.get("flags", ())),
        kept=item.get("kept", kept),
    )


def moment(text: str) -> datetime:
    """A moment in JSON."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _moments(texts: Mapping[str, str] | None) -> Mapping[str, datetime]:
    return {name: moment(text) for name, text in (texts or {}).items()}
