"""What breast cancer takes and answers over HTTP."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from asof.use_case import Given, Score
from asof.use_cases.breast_cancer.data import CLASSES, NAMES

EXAMPLE = (
    *(17.99, 10.38, 122.8, 1001.0, 0.1184, 0.2776, 0.3001, 0.1471, 0.2419, 0.07871),
    *(1.095, 0.9053, 8.589, 153.4, 0.006399, 0.04904, 0.05373, 0.01587, 0.03003, 0.006193),
    *(25.38, 17.33, 184.6, 2019.0, 0.1622, 0.6656, 0.7119, 0.2654, 0.4601, 0.1189),
)
"""The first mass of the data set; it was malignant."""

Measurement = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]

_FIELDS = {
    name.replace(" ", "_"): (Measurement, Field(alias=name, examples=[value]))
    for name, value in zip(NAMES, EXAMPLE, strict=True)
}
Measurements = create_model("Measurements", __config__=ConfigDict(extra="forbid"), **_FIELDS)  # type: ignore[call-overload]


class BreastCancerRequest(BaseModel):
    """Thirty measurements, as a list in the documented order or by name; never both."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"features": list(EXAMPLE)}]})

    features: Annotated[list[Measurement], Field(min_length=len(NAMES), max_length=len(NAMES))] | None = Field(
        None, description=f"In this order: {', '.join(NAMES)}."
    )
    measurements: Measurements | None = Field(None, description="Each by its name.")

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.features is None) is (self.measurements is None):
            raise PydanticCustomError("one_of_two", "Give either features or measurements, not both")
        if not any(each.value for each in given(self)):
            raise PydanticCustomError("nothing_measured", "Every measurement is zero: nothing was measured")
        return self


def given(request: BreastCancerRequest) -> list[Given]:
    """Each measurement with its place in the body."""
    if request.features is not None:
        return [Given(name, request.features[i], f"features.{i}") for i, name in enumerate(NAMES)]
    values = request.measurements.model_dump(by_alias=True) if request.measurements else {}
    return [Given(name, values[name], f"measurements.{name}") for name in NAMES]


class Probabilities(BaseModel):
    """The probability of each class; together they are 1."""

    malignant: float = Field(ge=0, le=1)
    benign: float = Field(ge=0, le=1)


class BreastCancerAnswer(BaseModel):
    """The problem's own part of the answer; lineage and verdicts are added by the service."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "class_name": "malignant",
                    "class_code": 0,
                    "probabilities": {"malignant": 0.99, "benign": 0.01},
                    "threshold": 0.5,
                }
            ]
        }
    )

    class_name: Literal["malignant", "benign"] = Field(description="The class that is the answer.")
    class_code: Literal[0, 1] = Field(description="Its code in the data set.")
    probabilities: Probabilities
    threshold: float = Field(ge=0, le=1, description="The probability of benign from which that is the answer.")


def respond(_: BreastCancerRequest, score: Score) -> BreastCancerAnswer:
    """The answer for one mass."""
    return BreastCancerAnswer(
        class_name=CLASSES[score.positive],
        class_code=int(score.positive),
        probabilities=Probabilities(malignant=1 - score.probability, benign=score.probability),
        threshold=score.threshold,
    )
