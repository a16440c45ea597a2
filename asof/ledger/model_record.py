"""What the ledger knows of a model, and where it keeps the values of the model's features."""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from asof.features.feature_contract import Feature
from asof.model_facts import Lineage, ModelFacts
from asof.use_case import UseCase

FLOATS, INTEGERS, TEXTS = "floats", "integers", "texts"
KINDS = {"Float64": FLOATS, "Float32": FLOATS, "Int64": INTEGERS, "Int32": INTEGERS, "Bool": INTEGERS}
"""Feast's types -> the column of `predictions` that has their values; all others are kept as text."""


@dataclass(frozen=True)
class ModelRecord:
    """A model, or a service without one, which has no features."""

    use_case: str
    lineage: Lineage
    fingerprint: str = ""
    feature_service: str | None = None
    features: tuple[Feature, ...] = ()
    threshold: float | None = None
    classes: tuple[str, ...] | None = None
    unit: str | None = None

    @cached_property
    def columns(self) -> Mapping[str, Sequence[Any]]:
        """The names of the features by the kind of their values."""
        names: dict[str, list[str]] = {FLOATS: [], INTEGERS: [], TEXTS: []}
        for feature in self.features:
            names[kind_of(feature)].append(feature.name)
        return names

    @cached_property
    def views(self) -> tuple[str, ...]:
        """The feature views, in the order of their first feature."""
        return tuple(dict.fromkeys(feature.view for feature in self.features if feature.view))

    @cached_property
    def row(self) -> dict[str, Any]:
        """The columns of its row in `ledger.models`."""
        places = {name: place for names in self.columns.values() for place, name in enumerate(names, 1)}
        features = [
            {
                "name": each.name,
                "type": each.dtype,
                "view": each.view or None,
                "kind": kind_of(each),
                "place": places[each.name],
            }
            for each in self.features
        ]
        described = {
            "use_case": self.use_case,
            **vars(self.lineage),
            "fingerprint": self.fingerprint,
            "feature_service": self.feature_service,
            "features": features,
            "views": list(self.views),
            "threshold": self.threshold,
            "classes": None if self.classes is None else list(self.classes),
            "unit": self.unit,
        }
        text = json.dumps(described, sort_keys=True).encode()
        (number,) = struct.unpack(">q", hashlib.sha256(text).digest()[:8])
        return {"id": number, **described}


def record_of(use_case: UseCase, lineage: Lineage, facts: ModelFacts | None) -> ModelRecord:
    """The record of a model, or of a service without one."""
    if facts is None:
        return ModelRecord(use_case.name, lineage)
    contract, target = facts.contract, use_case.target
    return ModelRecord(
        use_case.name,
        lineage,
        facts.fingerprint,
        contract.feature_service or None,
        contract.features,
        facts.threshold,
        target.classes,
        target.unit,
    )


def kind_of(feature: Feature) -> str:
    """The column of `predictions` with the feature's values."""
    return KINDS.get(feature.dtype, TEXTS)
