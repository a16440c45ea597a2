"""The request and the answer of breast cancer."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from asof.given_features import RequestFeature
from asof.use_case import Score
from asof.use_cases.breast_cancer.data import CLASSES, EXAMPLE, EXAMPLE_CLASS, NAMES

Measurement = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]


def _named(name: str, **fields: Any) -> type[BaseModel]:
    """A model of these members, whose names may contain blanks; others are forbidden."""
    config = ConfigDict(extra="forbid", serialize_by_alias=True)
    members: Any = {key.replace(" ", "_"): (type_, Field(alias=key)) for key, type_ in fields.items()}
    model: type[BaseModel] = create_model(name, __config__=config, **members)
    return model


Measurements = _named("Measurements", **dict.fromkeys(NAMES, Measurement))
Probabilities = _named("Probabilities", **dict.fromkeys(CLASSES, Probability))


class BreastCancerRequest(BaseModel):
    """The measurements of one mass, as a list in the documented order or by name; never both."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"features": list(EXAMPLE)}]})

    features: Annotated[list[Measurement], Field(min_length=len(NAMES), max_length=len(NAMES))] | None = Field(
        None, description=f"In this order: {', '.join(NAMES)}."
    )
    measurements: Measurements | None = Field(None, description="Each by its name.")  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if (self.features is None) is (self.measurements is None):
            raise PydanticCustomError("one_of_two", "Give either features or measurements, and not both")
        if not any(each.value for each in features(self)):
            raise PydanticCustomError("nothing_measured", "Every measurement is zero: nothing was measured")
        return self


def features(request: BreastCancerRequest) -> list[RequestFeature]:
    """Each measurement with its place in the body."""
    if request.measurements is not None:
        values: dict[str, float] = request.measurements.model_dump()
        return [RequestFeature(name, values[name], f"measurements.{name}") for name in NAMES]
    pairs = zip(NAMES, request.features or (), strict=True)
    return [RequestFeature(name, value, f"features.{number}") for number, (name, value) in enumerate(pairs)]


class BreastCancerAnswer(BaseModel):
    """The problem's own part of the answer; lineage and flags are added by the service."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "class_name": EXAMPLE_CLASS,
                    "class_code": CLASSES.index(EXAMPLE_CLASS),
                    "probabilities": {name: float(name == EXAMPLE_CLASS) for name in CLASSES},
                    "threshold": 0.5,
                }
            ]
        }
    )

    class_name: str = Field(description="The class that is the answer.", json_schema_extra={"enum": list(CLASSES)})
    class_code: int = Field(description="Its code in the data set.", json_schema_extra={"enum": [0, 1]})
    probabilities: Probabilities = Field(description="Of each class; together 1.")  # type: ignore[valid-type]
    threshold: Probability = Field(description=f"The probability of {CLASSES[1]} from which that is the answer.")


def respond(_: BreastCancerRequest, score: Score) -> BreastCancerAnswer:
    """The answer for one mass."""
    code = int(score.positive)
    probabilities = Probabilities(**dict(zip(CLASSES, (1 - score.probability, score.probability), strict=True)))
    return BreastCancerAnswer(
        class_name=CLASSES[code], class_code=code, probabilities=probabilities, threshold=score.threshold
    )
