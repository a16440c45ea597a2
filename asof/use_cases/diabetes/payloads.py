"""The request and the answer of diabetes."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from asof.given_features import RequestFeature
from asof.targets import ValueScore
from asof.targets.answers import value_answer, value_members
from asof.use_cases.diabetes.data import EXAMPLE, NAMES, UNIT

Measurement = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]


class DiabetesRequest(BaseModel):
    """The measurements of one patient by name."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [dict(zip(NAMES, EXAMPLE, strict=True))]})

    age: Measurement = Field(description=NAMES["age"])
    sex: Measurement = Field(description=NAMES["sex"])
    bmi: Measurement = Field(description=NAMES["bmi"])
    bp: Measurement = Field(description=NAMES["bp"])
    s1: Measurement = Field(description=NAMES["s1"])
    s2: Measurement = Field(description=NAMES["s2"])
    s3: Measurement = Field(description=NAMES["s3"])
    s4: Measurement = Field(description=NAMES["s4"])
    s5: Measurement = Field(description=NAMES["s5"])
    s6: Measurement = Field(description=NAMES["s6"])


DiabetesAnswer = value_answer(
    "DiabetesAnswer",
    UNIT,
    {"value": 208.8, "interval": {"low": 113.7, "high": 303.9, "coverage": 0.9}, "unit": UNIT},
)


def features(request: DiabetesRequest) -> list[RequestFeature]:
    """Each measurement with its place in the body."""
    return [RequestFeature(name, getattr(request, name), name) for name in NAMES]


def respond(_: DiabetesRequest, score: ValueScore) -> Any:
    """The answer for one patient."""
    return DiabetesAnswer(**value_members(score))
