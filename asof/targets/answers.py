"""The usual answers of several classes and of a number, as pydantic models for `UseCase.answer`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from asof.targets.multiclass import ClassScore
from asof.targets.regression import ValueScore

CHOSEN = "The most probable class or, where the use case states costs, that of the least expected cost."
Probability = Annotated[float, Field(ge=0, le=1)]


def class_answer(name: str, classes: Sequence[str], example: Mapping[str, Any]) -> type[BaseModel]:
    """An answer with `class` and `probabilities` by name; see `class_members`."""
    config = ConfigDict(extra="forbid", serialize_by_alias=True)
    fields: Any = {f"class_{code}": (Probability, Field(alias=each)) for code, each in enumerate(classes)}
    probabilities = create_model(f"{name}Probabilities", __config__=config, **fields)
    chosen = Field(alias="class", description=CHOSEN, json_schema_extra={"enum": list(classes)})
    members: Any = {
        "class_name": (str, chosen),
        "probabilities": (probabilities, Field(description="Of each class; together 1.")),
    }
    shown = ConfigDict(serialize_by_alias=True, json_schema_extra={"examples": [dict(example)]})
    answer: type[BaseModel] = create_model(name, __config__=shown, **members)
    return answer


def class_members(score: ClassScore) -> dict[str, Any]:
    """The members of a `class_answer`."""
    return {"class": score.class_name, "probabilities": dict(score.probabilities)}


class Interval(BaseModel):
    """An interval of the outcome."""

    low: float
    high: float
    coverage: float = Field(description="The share of outcomes that such intervals contain.", examples=[0.9])


def value_answer(name: str, unit: str, example: Mapping[str, Any]) -> type[BaseModel]:
    """An answer with `value`, `interval` and `unit`; see `value_members`."""
    members: Any = {
        "value": (float, Field(description=f"The predicted value in {unit}.")),
        "interval": (Interval, Field(description="Where the outcome lies, with that coverage.")),
        "unit": (str, Field(json_schema_extra={"enum": [unit]})),
    }
    config = ConfigDict(json_schema_extra={"examples": [dict(example)]})
    answer: type[BaseModel] = create_model(name, __config__=config, **members)
    return answer


def value_members(score: ValueScore) -> dict[str, Any]:
    """The members of a `value_answer`."""
    interval = {"low": score.low, "high": score.high, "coverage": score.coverage}
    return {"value": score.value, "interval": interval, "unit": score.unit}
