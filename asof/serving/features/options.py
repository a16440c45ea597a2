"""What a request of POST /predict may ask for beside the use case's own members, and what its answer then has."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictBool, create_model

from asof.errors import ConfigurationError
from asof.inference.explanation.explainer import Explained, Space
from asof.inference.verdicts import Verdict
from asof.serving.features.overrides import WhatIf
from asof.use_case import FromStore, UseCase

OPTIONS = ("explain", "overrides")
"""The members that all use cases have."""


class Explainable(BaseModel):
    """The further member of every request."""

    explain: Annotated[StrictBool, Field(description="Whether to add what each feature contributes to the score.")] = (
        False
    )


def payload_type(use_case: UseCase) -> type[BaseModel]:
    """The use case's request with the options. Raises ConfigurationError where it has such a member itself."""
    own: Any = use_case.request
    options = (WhatIf, Explainable) if isinstance(use_case.source, FromStore) else (Explainable,)
    names = [name for each in options for name in each.model_fields]
    if taken := [name for name in names if name in own.model_fields]:
        raise ConfigurationError(
            f"{own.__name__} of use case {use_case.name!r} has the member {taken[0]!r}, which POST /predict adds to "
            "every request: rename it."
        )
    return create_model(f"{own.__name__}WithOptions", __base__=(own, *options), __doc__=own.__doc__)


def asks_why(request: BaseModel) -> bool:
    """Whether the request asks for an explanation."""
    return isinstance(request, Explainable) and request.explain


class OverriddenFeature(BaseModel):
    """A value of a what-if request beside the stored one that it replaces."""

    feature: str
    view: str
    verdict: Verdict = Field(description="OVERRIDDEN.", examples=["OVERRIDDEN"])
    value: bool | int | float | str = Field(description="What the model was given.", examples=[2.5])
    stored: bool | int | float | str | None = Field(description="null: there is no finite value.", examples=[70.35])
    stored_verdict: Verdict = Field(examples=["PRESENT"])


class HypotheticalEvidence(BaseModel):
    """What an answer with overrides has beside the rest."""

    overridden: list[OverriddenFeature] | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="The request's own values, in place of stored ones. Absent without overrides.",
    )


class Contribution(BaseModel):
    """What one feature, or one column derived from features, contributes to the score."""

    feature: str
    value: bool | int | float | str | None = Field(description="null: of a derived column.", examples=[31.5])
    contribution: float = Field(examples=[-0.42])


class Explanation(BaseModel):
    """The score as a sum: `base` plus all contributions. The answer's prediction is computed from it."""

    space: Space = Field(
        description="What the score is: the predicted number or probability itself, its logarithm, or its log odds.",
        examples=["log odds"],
    )
    base: float = Field(description="The score without any feature: that of the training rows.", examples=[-1.05])
    score: float = Field(examples=[0.49])
    contributions: list[Contribution] = Field(description="Of all features, the greatest first.")


class ExplainedEvidence(BaseModel):
    """What an explained answer has beside the rest."""

    explanation: Explanation | None = Field(
        None, exclude_if=lambda value: value is None, description="Absent unless the request asks for it."
    )


def explanation_payload(explained: Explained, values: Mapping[str, Any]) -> dict[str, Any]:
    """The members of Explanation; `values` are those of the features."""
    every = sorted(explained.contributions.items(), key=lambda each: -abs(each[1]))
    return {
        "space": explained.space,
        "base": explained.base,
        "score": explained.score,
        "contributions": [
            {"feature": name, "value": values.get(name), "contribution": contribution} for name, contribution in every
        ],
    }
