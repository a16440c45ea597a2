"""The JSON that the service answers with, as pydantic models: from them comes the OpenAPI description."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from asof.serving.model import ServedModel
from asof.serving.predictor import Lineage
from asof.serving.verdicts import Reading, Verdict, days
from asof.use_case import UseCase


class ModelIdentity(BaseModel):
    """Which model answered, and from what it was made."""

    name: str = Field(description="The model's name in the registry.", examples=["streamflow_churn"])
    version: str = Field(description="Its version in the registry.", examples=["3"])
    run_id: str = Field(description="The MLflow run that trained it.", examples=["dfcfd1b547b34823b3f2806ecb7903d0"])
    bento: str = Field(description="The Bento that serves it.", examples=["streamflow_churn:v3-dfcfd1b5-1c0ffee1"])
    fingerprint: str = Field(description="SHA-256 of its training set.", examples=["9f86d081884c7d65"])
    feature_service: str = Field(description="The Feast FeatureService that it takes.", examples=["churn_v2"])
    as_of: datetime = Field(description="The moment of its training features and labels.")
    git_commit: str = Field(description="The code that trained it.", examples=["e9161f0"])


class Flag(BaseModel):
    """A feature whose value is not of this moment, under a view that flags and does not refuse."""

    feature: str = Field(examples=["support_tickets_90d"])
    view: str = Field(examples=["support_agg_90d_fv"])
    verdict: Verdict = Field(examples=["STALE"])
    age_days: float | None = Field(examples=[61.5])
    max_age_days: float | None = Field(examples=[45.0])


class Evidence(BaseModel):
    """What every prediction rests on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": {
                        "name": "streamflow_churn",
                        "version": "3",
                        "run_id": "dfcfd1b547b34823b3f2806ecb7903d0",
                        "bento": "streamflow_churn:v3-dfcfd1b5-1c0ffee1",
                        "fingerprint": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                        "feature_service": "churn_v2",
                        "as_of": "2024-01-31T00:00:00Z",
                        "git_commit": "e9161f0",
                    },
                    "as_of": {"subs_profile_fv": "2024-02-29T00:00:00Z", "support_agg_90d_fv": "2023-12-31T00:00:00Z"},
                    "flags": [
                        {
                            "feature": "support_tickets_90d",
                            "view": "support_agg_90d_fv",
                            "verdict": "STALE",
                            "age_days": 61.5,
                            "max_age_days": 45.0,
                        }
                    ],
                    "request_id": "8c5f2a",
                }
            ]
        }
    )

    model: ModelIdentity
    as_of: dict[str, datetime] = Field(
        description="For each feature view, the moment that its values describe.",
        examples=[{"subs_profile_fv": "2024-01-31T00:00:00Z"}],
    )
    flags: list[Flag] = Field(description="Features that are used although they are not of this moment.", examples=[[]])
    request_id: str = Field(description="The same as in the header X-Request-ID.", examples=["8c5f2a"])


class FeatureAnswer(BaseModel):
    """One feature of one entity; `as_of` and `age_days` are null where the online store has no row."""

    name: str = Field(examples=["monthly_fee"])
    view: str = Field(examples=["subs_profile_fv"])
    value: bool | int | float | str | None = Field(examples=[70.35])
    verdict: Verdict = Field(examples=["PRESENT"])
    as_of: datetime | None
    age_days: float | None = Field(examples=[3.5])
    max_age_days: float | None = Field(examples=[45.0])
    staleness: str = Field(description="What the view's policy does with a stale value.", examples=["refuse"])


class FeaturesAnswer(BaseModel):
    """The smoke check of the online store."""

    entity: str = Field(examples=["7590-VHVEG"])
    clock: datetime = Field(description="The moment that ages are measured against.")
    features: list[FeatureAnswer]
    request_id: str


class ModelAnswer(ModelIdentity):
    """The whole lineage of the model."""

    use_case: str = Field(examples=["churn"])
    estimator: str = Field(examples=["default"])
    threshold: float = Field(examples=[0.31])
    known_at: datetime = Field(description="Training rows learned of after this moment were left out.")
    random_state: int
    git_dirty: bool = Field(description="Whether the training code had changes that were not committed.")
    contract: dict[str, Any] = Field(description="The features that it takes, in order, with view and type.")
    contract_digest: str


class Health(BaseModel):
    """Whether a prediction can be made now."""

    status: str = Field(description="ok or unavailable.", examples=["ok"])
    feature_store: str = Field(description="ok, or what is wrong with it.", examples=["ok"])
    model: str = Field(examples=["streamflow_churn"])
    version: str = Field(examples=["3"])
    bento: str
    clock: datetime = Field(description="The moment that the service takes for now.")
    replaying: bool = Field(description="Whether the clock is set by ASOF_CLOCK.")


def prediction_type(use_case: UseCase) -> type[BaseModel]:
    """The use case's own answer together with the evidence."""
    return create_model(f"{use_case.answer.__name__}WithEvidence", __base__=(Evidence, use_case.answer))


def prediction_example(use_case: UseCase) -> dict[str, Any]:
    """The first example of the use case's answer, with the evidence's."""
    return _first_example(use_case.answer) | _first_example(Evidence)


def _first_example(model: type[BaseModel]) -> dict[str, Any]:
    example: dict[str, Any] = model.model_json_schema().get("examples", [{}])[0]
    return example


def identity(model: ServedModel, lineage: Lineage) -> dict[str, Any]:
    """The members of ModelIdentity."""
    facts = model.facts
    return {
        "name": lineage.name,
        "version": lineage.version,
        "run_id": lineage.run_id,
        "bento": lineage.bento,
        "fingerprint": facts.fingerprint,
        "feature_service": facts.contract.feature_service,
        "as_of": facts.as_of,
        "git_commit": facts.git_commit,
    }


def feature_answer(reading: Reading) -> FeatureAnswer:
    """One reading, as GET /features shows it."""
    return FeatureAnswer(
        name=reading.feature.name,
        view=reading.feature.view,
        value=reading.value,
        verdict=reading.verdict,
        as_of=reading.as_of,
        age_days=days(reading.age),
        max_age_days=days(reading.policy.max_age),
        staleness="refuse" if reading.policy.refuses else "flag",
    )


def model_answer(model: ServedModel, lineage: Lineage) -> ModelAnswer:
    """What GET /model tells."""
    facts = model.facts
    return ModelAnswer(
        **identity(model, lineage),
        use_case=facts.use_case,
        estimator=facts.estimator,
        threshold=facts.threshold,
        known_at=facts.known_at,
        random_state=facts.random_state,
        git_dirty=facts.git_dirty,
        contract=facts.contract.to_dict(),
        contract_digest=facts.contract.digest,
    )
