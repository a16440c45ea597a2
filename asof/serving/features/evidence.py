"""The evidence in an answer, beside the use case's own members: pydantic models, which OpenAPI describes."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, create_model

from asof.inference.verdicts import Verdict
from asof.serving.features.options import ExplainedEvidence, HypotheticalEvidence
from asof.serving.http.examples import RUN, examples
from asof.use_case import UseCase


class ModelIdentity(BaseModel):
    """The model that answered, and its lineage."""

    name: str = Field(description="The model's name in the registry.")
    version: str | None = Field(description="Its version in the registry; null: not registered.", examples=["3"])
    run_id: str = Field(description="The MLflow run that trained it.", examples=[RUN])
    bento: str = Field(description="The Bento that serves it.")
    fingerprint: str = Field(description="SHA-256 of its training set and of everything that defined it.")
    feature_service: str | None = Field(
        description="The Feast FeatureService of its features; null: they come in the request."
    )
    as_of: datetime = Field(description="The moment of its training features and labels.")
    git_commit: str = Field(
        description="The commit of the code that trained it; it ends in -dirty where files differed from the commit.",
        examples=["e9161f0"],
    )


class Evidence(BaseModel):
    """The evidence of every prediction."""

    model: ModelIdentity
    request_id: str = Field(description="The same as in the header X-Request-ID.", examples=["8c5f2a"])


class UntimelyFlag(BaseModel):
    """A stale or future feature of a view whose policy is to flag."""

    feature: str
    view: str
    verdict: Verdict = Field(description="STALE or FUTURE.", examples=["STALE"])
    age_days: float | None = Field(examples=[61.5])
    max_age_days: float | None = Field(examples=[45.0])


class StoredOutsideFlag(BaseModel):
    """A stored number outside the training range, used nevertheless."""

    feature: str
    view: str
    verdict: Verdict = Field(examples=["OUTSIDE"])
    value: float = Field(examples=[240.0])
    trained_from: float = Field(description="The minimum of the training set.", examples=[18.25])
    trained_to: float = Field(description="The maximum of the training set.", examples=[118.75])
    ranges_away: float | None = Field(
        description="The distance from it, in widths of that range; null: the training set has a single value.",
        examples=[1.2],
    )


class UnseenCategoryFlag(BaseModel):
    """A stored category that is not in the training set, used nevertheless."""

    feature: str
    view: str
    verdict: Verdict = Field(examples=["OUTSIDE"])
    category: str


class StoredMoments(Evidence):
    """Evidence of features from the store: the moments of their values."""

    as_of: dict[str, datetime] = Field(
        description="For each feature view, the moment that its values describe; the oldest, where they differ."
    )
    as_of_features: dict[str, datetime] | None = Field(
        None,
        exclude_if=lambda own: own is None,
        description="The moment of each feature, for the views whose features do not all have the same one. Absent "
        "where each view has one moment.",
    )


class StoreEvidence(StoredMoments):
    """The same with flags."""

    flags: list[UntimelyFlag | StoredOutsideFlag | UnseenCategoryFlag] = Field(
        description="Values that were used although they are stale, from the future, or outside the training set.",
        examples=[[]],
    )


class OutsideFlag(BaseModel):
    """A value outside the training range, used nevertheless."""

    feature: str
    verdict: Verdict = Field(examples=["OUTSIDE"])
    value: float = Field(examples=[30.0])
    trained_from: float = Field(description="The minimum of the training set.", examples=[6.98])
    trained_to: float = Field(description="The maximum of the training set.", examples=[28.1])
    ranges_away: float = Field(description="The distance from it, in widths of that range.", examples=[0.09])


class RequestEvidence(Evidence):
    """Evidence of features in the request: flags of values outside the training range."""

    flags: list[OutsideFlag] = Field(
        description="Values that were used although they are outside the training range.", examples=[[]]
    )


class GivenCategoryFlag(BaseModel):
    """A category of the request that is not in the training set, used nevertheless."""

    feature: str
    verdict: Verdict = Field(examples=["OUTSIDE"])
    category: str


class MixedEvidence(StoredMoments):
    """Evidence of features from the store and in the request. Flags of the latter have no `view`."""

    flags: list[UntimelyFlag | StoredOutsideFlag | UnseenCategoryFlag | OutsideFlag | GivenCategoryFlag] = Field(
        description="Values that were used although they are stale, from the future, or outside the training set.",
        examples=[[]],
    )


def prediction_type(use_case: UseCase, evidence: type[Evidence]) -> type[BaseModel]:
    """The use case's own answer together with the evidence."""
    options = (HypotheticalEvidence,) if issubclass(evidence, StoredMoments) else ()
    bases: Any = (ExplainedEvidence, *options, evidence, use_case.answer)
    return create_model(f"{use_case.answer.__name__}WithEvidence", __base__=bases)


def prediction_example(use_case: UseCase) -> dict[str, Any]:
    """The first example of the use case's answer, with the evidence's."""
    example: dict[str, Any] = use_case.answer.model_json_schema().get("examples", [{}])[0]
    return {**example, **examples(use_case).evidence}


def whole_example(use_case: UseCase) -> dict[str, Any]:
    """The same with all that a request may ask for."""
    return {**prediction_example(use_case), **examples(use_case).options}
