"""Examples for the OpenAPI document of a use case, with its own model, features and id."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asof.extracts.schema import ExtractSchema, Kind
from asof.given_features import Given
from asof.use_case import FromRequest, UseCase

RUN = "dfcfd1b547b34823b3f2806ecb7903d0"
REQUEST_ID = "8c5f2a"
NUMERIC = (Kind.INTEGER, Kind.NUMBER)


@dataclass(frozen=True)
class Examples:
    """`feature` and `other` are two features of `view`, which is None where they come in the request."""

    model_name: str
    feature: str
    other: str
    view: str | None = None
    entity: Any = None
    feature_service: str | None = None

    @property
    def model(self) -> Mapping[str, Any]:
        """The members of ModelIdentity."""
        return {
            "name": self.model_name,
            "version": "3",
            "run_id": RUN,
            "bento": f"{self.model_name}:v3-{RUN[:8]}-1c0ffee1",
            "fingerprint": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "feature_service": self.feature_service,
            "as_of": "2024-01-31T00:00:00Z",
            "git_commit": "e9161f0",
        }

    @property
    def stale(self) -> Mapping[str, Any]:
        """A stale feature of the store."""
        return {**self.named("STALE"), "age_days": 61.5, "max_age_days": 45.0}

    @property
    def outside(self) -> Mapping[str, Any]:
        """A feature of the request outside the range of the training rows."""
        distance = {"value": 30.0, "trained_from": 6.98, "trained_to": 28.1, "ranges_away": 0.09}
        return {"feature": self.feature, "verdict": "OUTSIDE", **distance}

    @property
    def evidence(self) -> Mapping[str, Any]:
        """The members of every answer besides the use case's own."""
        common = {"model": self.model, "request_id": REQUEST_ID}
        if self.view is None:
            return {**common, "flags": [self.outside]}
        moments = {self.feature: "2023-12-31T00:00:00Z", self.other: "2024-02-29T00:00:00Z"}
        as_of = {self.view: min(moments.values())}
        return {**common, "as_of": as_of, "as_of_features": moments, "flags": [self.stale]}

    @property
    def options(self) -> Mapping[str, Any]:
        """The members of an answer to a request with `explain` and, where features are stored, `overrides`."""
        parts = [(self.feature, 2.5, 1.96), (self.other, 3.0, -0.42)]
        contributions = [{"feature": name, "value": value, "contribution": part} for name, value, part in parts]
        explanation = {"space": "log odds", "base": -1.05, "score": 0.49, "contributions": contributions}
        if self.view is None:
            return {"explanation": explanation}
        stored = {"value": 2.5, "stored": 70.35, "stored_verdict": "PRESENT"}
        return {"overridden": [{**self.named("OVERRIDDEN"), **stored}], "explanation": explanation}

    def named(self, verdict: str) -> Mapping[str, Any]:
        """A feature with a verdict."""
        return {"feature": self.feature, "view": self.view, "verdict": verdict}


def examples(use_case: UseCase) -> Examples:
    """The use case's examples, from its request's example and the columns of its extracts or of its contract."""
    if isinstance(use_case.source, FromRequest):
        return Examples(use_case.model_name, *use_case.source.contract.names[:2])
    extract = use_case.source.extract
    request = use_case.request.model_json_schema().get("examples", [{}])[0]
    (table, feature), (_, other) = (2 * _columns(extract, use_case.given))[:2]
    return Examples(
        use_case.model_name,
        feature=feature,
        other=other,
        view=f"{table}_fv",
        entity=_entity(extract, request),
        feature_service=use_case.estimator().feature_service,
    )


def _columns(extract: ExtractSchema, given: Given | None) -> list[tuple[str, str]]:
    """Table and name of each column that may be a stored feature, numeric ones first."""
    tables = [table for table in extract.tables if given is None or table.name != given.table.name]
    columns = [(table.name, column) for table in tables for column in table.value_columns]
    columns.sort(key=lambda each: each[1].kind not in NUMERIC)
    return [(table, column.name) for table, column in columns] or [(extract.entity_table, "a_feature")]


def _entity(extract: ExtractSchema, request: Mapping[str, Any]) -> Any:
    entity = {name: request.get(name, "...") for name in extract.keys}
    return entity if len(entity) > 1 else entity[extract.keys[0]]


NO_USE_CASE = Examples("a_model", "a_feature", "another", "a_view", "an-id", "a_feature_service")
"""For responses that are the same in all use cases."""
