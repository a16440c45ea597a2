"""The answers of the service as pydantic models, which also describe them in the OpenAPI document."""

from dataclasses import asdict, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from asof import __version__
from asof.features.feature_definition import digest_of
from asof.features.join_keys import Members
from asof.inference.explanation.explainer import Space
from asof.inference.served_model import ServedModel
from asof.inference.verdicts import JudgedFeature, Verdict, days
from asof.model_facts import Lineage
from asof.serving.features.evidence import ModelIdentity
from asof.serving.prediction.predictor import identity

if TYPE_CHECKING:
    from asof.serving.following.model_cache import FollowState
    from asof.serving.shadow.state import State


class FeatureAnswer(BaseModel):
    """One feature of one entity; `as_of` and `age_days` are null where the online store has no row."""

    name: str
    view: str
    value: bool | int | float | str | None = Field(examples=[70.35])
    verdict: Verdict = Field(examples=["PRESENT"])
    as_of: datetime | None
    age_days: float | None = Field(examples=[3.5])
    max_age_days: float | None = Field(examples=[45.0])
    staleness: str = Field(description="What the view's policy does with a stale value.", examples=["refuse"])


class FeaturesAnswer(BaseModel):
    """The features of one entity in the online store; `entity` is its id, or an object with those of several keys."""

    entity: Members
    clock: datetime = Field(description="The moment from which ages are measured.")
    features: list[FeatureAnswer]
    request_id: str


class GoldenRowsAnswer(BaseModel):
    """How far the model's predictions are from those of its evaluation."""

    rows: int = Field(examples=[32])
    largest_difference: float = Field(
        description="Of a probability, 0 to 1; of a number, relative to it.", examples=[0.0]
    )


class RefusedAnswer(BaseModel):
    """A production version that the service did not adopt, or gave up again."""

    version: str = Field(examples=["4"])
    step: str = Field(description="trust, fetch, load, features, or answers: it failed requests.", examples=["trust"])
    why: str = Field(examples=["model.skops changed"])
    at: datetime


class FollowingAnswer(BaseModel):
    """What the answering worker knows of the registry."""

    registry: str = Field(description="ok, or what is wrong with the registry or its response.", examples=["ok"])
    checked_at: datetime | None = Field(description="When the registry last responded; null: not yet.")
    in_production: str | None = Field(description="The production version at that time; null: none.", examples=["3"])
    serving_since: datetime | None = Field(description="When the answering model was put into service; null: none.")
    refused: list[RefusedAnswer]


class ShadowAnswer(BaseModel):
    """The challenger that scores answers beside the model; counts are those of all workers since the first start."""

    version: str | None = Field(description="null: there is none.", examples=["4"])
    status: str = Field(description="starting, idle, refused, scoring or paused.", examples=["scoring"])
    why: str = Field(description="Of any other status than scoring.", examples=[""])
    scored: int
    failed: int = Field(description="It raised, or its process ended.")
    dropped: dict[str, int] = Field(
        description="By reason: budget, starting, paused, refused, features or full.", examples=[{"budget": 12}]
    )


class ModelAnswer(ModelIdentity):
    """The lineage of the model."""

    asof_version: str = Field(description="The version of AsOf that serves it.", examples=[__version__])
    use_case: str
    estimator: str = Field(examples=["default"])
    threshold: float | None = Field(examples=[0.31], description="null: it has no threshold, see target.")
    target: dict[str, Any] | None = Field(
        examples=[None],
        description="Of several classes their order and costs, of a number its unit and interval; null: two classes.",
    )
    known_at: datetime = Field(description="Rows that became known after this moment were not used for training.")
    rows_digest: str = Field(description="SHA-256 of the rows of its training set; empty: not recorded.")
    model_digest: str = Field(description="SHA-256 of the fitted model; empty: not recorded.")
    random_state: int
    git_dirty: bool = Field(description="Whether the training code had uncommitted changes.")
    contract: dict[str, Any] = Field(
        description="Its features in order, with view and type, and a digest of each view's definition."
    )
    contract_digest: str
    signed_by: str = Field(description="The id of the key that signed its files.", examples=["2b8f0c5d7a914e36"])
    golden_rows: GoldenRowsAnswer | None = Field(
        description="Held-out rows of its evaluation, predicted again when it was loaded."
    )
    derived: list[str] = Field(description="The columns that are computed from its features.", examples=[[]])
    ranges: dict[str, tuple[float, float]] = Field(
        description="Minimum and maximum of each numeric feature in the training rows."
    )
    categories: dict[str, tuple[str, ...]] = Field(
        description="The values of each categorical feature in the training rows, unless they are too many.",
        examples=[{"contract_type": ("Month-to-month", "One year", "Two year")}],
    )
    runtime: str = Field(description="What computes its predictions: onnx, where it is compiled, or scikit-learn.")
    explanation: Space | None = Field(
        description="What its explanations add up to (see `explain` of POST /predict); null: it has none.",
        examples=["log odds"],
    )
    following: FollowingAnswer | None = Field(description="null: it serves its Bento's own model and does not follow.")
    shadow: ShadowAnswer | None = Field(description="null: ASOF_SHADOW is not set.", examples=[None])


class Health(BaseModel):
    """Whether a prediction can be made now."""

    status: str = Field(description="ok or unavailable.", examples=["ok"])
    feature_store: str = Field(description="ok, what is wrong with it, or that it is not used.", examples=["ok"])
    model: str
    version: str | None = Field(examples=["3"])
    bento: str
    clock: datetime = Field(description="The moment that the service uses as now.")
    replaying: bool = Field(description="Whether the clock is set by ASOF_CLOCK.")


def following_answer(state: "FollowState", since: datetime | None) -> FollowingAnswer:
    """What a following worker knows of the registry; its model answers since `since` (None: it has none)."""
    return FollowingAnswer(
        registry=state.error or "ok",
        checked_at=state.checked_at,
        in_production=state.in_production.version if state.in_production else None,
        serving_since=since,
        refused=[RefusedAnswer(**vars(refusal)) for refusal in state.refused],
    )


def shadow_answer(state: "State | None") -> ShadowAnswer:
    """What the challenger's process wrote down last (None: nothing yet)."""
    if state is None:
        return ShadowAnswer(version=None, status="starting", why="", scored=0, failed=0, dropped={})
    own = {name: getattr(state, name) for name in ("status", "why", "scored", "failed", "dropped")}
    return ShadowAnswer(version=state.version or None, **own)


def feature_answer(judged: JudgedFeature) -> FeatureAnswer:
    """A feature of an entity for the response of the features' route."""
    return FeatureAnswer(
        name=judged.feature.name,
        view=judged.feature.view,
        value=judged.value,
        verdict=judged.verdict,
        as_of=judged.as_of,
        age_days=days(judged.age),
        max_age_days=days(judged.policy.max_age),
        staleness="refuse" if judged.policy.refuses else "flag",
    )


def model_answer(
    model: ServedModel, lineage: Lineage, following: FollowingAnswer | None, shadow: ShadowAnswer | None = None
) -> ModelAnswer:
    """The answer of GET /model, with digests in place of definitions: callers may not see the queries."""
    facts, contract = model.facts, model.facts.contract
    return ModelAnswer(
        **{each.name: getattr(facts, each.name) for each in fields(facts)}
        | identity(model, lineage)
        | {
            "asof_version": __version__,
            "target": asdict(facts.target) if facts.target else None,
            "contract": contract.to_dict()
            | {"definitions": {view: digest_of(text) for view, text in contract.definitions.items()}},
            "contract_digest": contract.digest,
            "signed_by": model.signed_by,
            "golden_rows": GoldenRowsAnswer(**asdict(model.golden_rows)) if model.golden_rows else None,
            "runtime": model.runtime.name,
            "explanation": model.explainer.space if model.explainer else None,
            "following": following,
            "shadow": shadow,
        }
    )
