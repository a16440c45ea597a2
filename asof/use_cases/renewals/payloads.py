"""The request and the answer of Renewals."""

from pydantic import BaseModel, ConfigDict, Field

from asof.features.entity_key import EntityKey, IntegerKey
from asof.use_case import Score


class RenewalsRequest(BaseModel):
    """One entity; the service looks the features up itself."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"user": 0, "device": "phone"}]})

    user: IntegerKey = Field(description="As in the source, column User.")
    device: EntityKey = Field(description="As in the source, column device.")


class RenewalsAnswer(BaseModel):
    """The problem's own part of the answer; lineage and verdicts are added by the service."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"user": 0, "device": "phone", "probability": 0.62, "renewed": True, "threshold": 0.31}]
        }
    )

    user: int
    device: str
    probability: float = Field(ge=0, le=1, description="Probability of renewed.")
    renewed: bool = Field(description="Whether the probability reaches the threshold.")
    threshold: float = Field(ge=0, le=1, description="Chosen on the training side to maximise F1.")


def respond(request: RenewalsRequest, score: Score) -> RenewalsAnswer:
    """The answer for one entity."""
    return RenewalsAnswer(
        user=request.user,
        device=request.device,
        probability=score.probability,
        renewed=score.positive,
        threshold=score.threshold,
    )
