"""A use case -> what its description shows: its own model, feature and id, in place of another's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asof.extract_schema import ExtractSchema, Kind
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
    def untimely(self) -> Mapping[str, Any]:
        """A stale feature out of the store."""
        return {**self.named("STALE"), "age_days": 61.5, "max_age_days": 45.0}

    @property
    def outside(self) -> Mapping[str, Any]:
        """A feature of the request that is not like what the model was trained on."""
        away = {"value": 30.0, "trained_from": 6.98, "trained_to": 28.1, "ranges_away": 0.09}
        return {"feature": self.feature, "verdict": "OUTSIDE", **away}

    @property
    def evidence(self) -> Mapping[str, Any]:
        """What every answer holds besides the use case's own."""
        common = {"model": self.model, "request_id": REQUEST_ID}
        if self.view is None:
            return {**common, "flags": [self.outside]}
        moments = {self.feature: "2023-12-31T00:00:00Z", self.other: "2024-02-29T00:00:00Z"}
        as_of = {self.view: min(moments.values())}
        return {**common, "as_of": as_of, "as_of_features": moments, "flags": [self.untimely]}

    def named(self, verdict: str) -> Mapping[str, Any]:
        """A feature with a verdict."""
        return {"feature": self.feature, "view": self.view, "verdict": verdict}


def examples(use_case: UseCase) -> Examples:
    """The use case's own: the id of its request's example, a column of its extracts or a feature of its contract."""
    if isinstance(use_case.source, FromRequest):
        return Examples(use_case.model_name, *use_case.source.contract.names[:2])
    extract = use_case.source.extract
    request = use_case.request.model_json_schema().get("examples", [{}])[0]
    (_, table, feature), (_, _, other) = (2 * _columns(extract))[:2]
    return Examples(
        use_case.model_name,
        feature=feature,
        other=other,
        view=f"{table}_fv",
        entity=request.get(extract.entity, "..."),
        feature_service=use_case.estimator().feature_service,
    )


def _columns(extract: ExtractSchema) -> list[tuple[bool, str, str]]:
    """Table and name of each column, those with numbers first."""
    every = [(table.name, column) for table in extract.tables for column in table.columns[1:]]
    named = [(column.kind not in NUMERIC, table, column.name) for table, column in every]
    return sorted(named, key=lambda each: each[0]) or [(True, extract.entities, "a_feature")]


NO_USE_CASE = Examples("a_model", "a_feature", "another", "a_view", "an-id", "a_feature_service")
"""For what is the same in all of them."""
