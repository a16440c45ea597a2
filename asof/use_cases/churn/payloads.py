"""The request and the answer of StreamFlow churn."""

from pydantic import BaseModel, ConfigDict, Field

from asof.features.entity_key import EntityKey
from asof.use_case import Score


class ChurnRequest(BaseModel):
    """One user; the service looks the features up itself."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"user_id": "7590-VHVEG"}]})

    user_id: EntityKey = Field(description="The user, as in the extracts.")


class ChurnAnswer(BaseModel):
    """The problem's own part of the answer; lineage and verdicts are added by the service."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"user_id": "7590-VHVEG", "probability": 0.62, "churn": True, "threshold": 0.31}]
        }
    )

    user_id: str = Field(examples=["7590-VHVEG"])
    probability: float = Field(ge=0, le=1, description="Probability that the user leaves in the coming month.")
    churn: bool = Field(description="Whether the probability reaches the threshold.")
    threshold: float = Field(ge=0, le=1, description="Chosen on the training side to maximise F1.")


def respond(request: ChurnRequest, score: Score) -> ChurnAnswer:
    """The answer for one user."""
    return ChurnAnswer(
        user_id=request.user_id, probability=score.probability, churn=score.positive, threshold=score.threshold
    )
