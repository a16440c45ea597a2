"""The request and the answer of wine."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from asof.given_features import RequestFeature
from asof.targets import ClassScore
from asof.targets.answers import class_answer, class_members
from asof.use_cases.wine.data import CLASSES, EXAMPLE, EXAMPLE_CLASS, NAMES

Measurement = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class WineRequest(BaseModel):
    """The measurements of one wine by name."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [dict(zip(NAMES, EXAMPLE, strict=True))]})

    alcohol: Measurement
    malic_acid: Measurement
    ash: Measurement
    alcalinity_of_ash: Measurement
    magnesium: Measurement
    total_phenols: Measurement
    flavanoids: Measurement
    nonflavanoid_phenols: Measurement
    proanthocyanins: Measurement
    color_intensity: Measurement
    hue: Measurement
    od280_od315: Measurement = Field(description="The ratio of absorbances at 280 and 315 nm, diluted.")
    proline: Measurement


WineAnswer = class_answer(
    "WineAnswer",
    CLASSES,
    {"class": EXAMPLE_CLASS, "probabilities": {name: float(name == EXAMPLE_CLASS) for name in CLASSES}},
)


def features(request: WineRequest) -> list[RequestFeature]:
    """Each measurement with its place in the body."""
    return [RequestFeature(name, getattr(request, name), name) for name in NAMES]


def respond(_: WineRequest, score: ClassScore) -> Any:
    """The answer for one wine."""
    return WineAnswer(**class_members(score))
