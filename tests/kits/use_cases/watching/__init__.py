"""A use case of a stored number, for tests: how many hours will a user watch in the next month, and how much is that?

`USE_CASE` predicts the hours, `LEVELS` in which of three levels they fall: the same features, another label.
"""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable
from asof.features.entity_key import EntityKey
from asof.features.feature_contract import FeatureContract
from asof.targets import ClassScore, Multiclass, Regression, ValueScore
from asof.targets.answers import class_answer, class_members, value_answer, value_members
from asof.use_case import Estimator, FromStore, Question, UseCase

KEY = Column("user_id", Kind.TEXT)
CLASSES = ("little", "some", "much")
USERS = RawTable("watch_users", (KEY, Column("months_active", Kind.INTEGER), Column("net_service", Kind.TEXT)))
USAGE = RawTable(
    "watch_usage",
    (
        KEY,
        Column("watch_hours_30d", Kind.NUMBER, minimum=0, maximum=720),
        Column("unique_devices_30d", Kind.INTEGER, minimum=0),
    ),
)
HOURS = RawTable("watch_hours", (KEY, Column("next_hours", Kind.NUMBER, minimum=0, maximum=720)))
LEVEL = RawTable("watch_levels", (KEY, Column("level", Kind.TEXT, allowed=CLASSES)))


class WatchingRequest(BaseModel):
    """One user; the service looks the features up itself."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"user_id": "7590-VHVEG"}]})

    user_id: EntityKey = Field(description="The user, as in the extracts.")


HoursAnswer = value_answer(
    "HoursAnswer", "hours", {"value": 41.0, "interval": {"low": 10.0, "high": 72.0, "coverage": 0.9}, "unit": "hours"}
)
LevelAnswer = class_answer(
    "LevelAnswer", CLASSES, {"class": "some", "probabilities": {"little": 0.2, "some": 0.7, "much": 0.1}}
)


def hours(_: WatchingRequest, score: ValueScore) -> Any:
    return HoursAnswer(**value_members(score))


def level(_: WatchingRequest, score: ClassScore) -> Any:
    return LevelAnswer(**class_members(score))


def ridge(contract: FeatureContract, random_state: int) -> Any:
    from sklearn.linear_model import Ridge

    return _on_columns(contract, Ridge(random_state=random_state))


def regression(contract: FeatureContract, random_state: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return _on_columns(contract, LogisticRegression(max_iter=1000, random_state=random_state))


def _on_columns(contract: FeatureContract, model: Any) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("categories", encode, contract.categories)], remainder=StandardScaler())
    return Pipeline([("columns", columns), ("model", model)])


def questions(month: Path | None) -> list[Question]:
    assert month
    with (month / "watch_users.csv").open(encoding="utf-8") as file:
        known = next(csv.DictReader(file))["user_id"]
    unknown = {"code": "entity-not-found"}
    return [
        Question("A known user", json.dumps({"user_id": known}), 200, {}),
        Question("An unknown one", json.dumps({"user_id": "nobody"}), 404, unknown),
    ]


USE_CASE = UseCase(
    name="watching",
    model_name="watching",
    title="Hours watched in the next month",
    source=FromStore(ExtractSchema("user_id", "watch_users", (USERS, USAGE), HOURS, "next_hours")),
    target=Regression("hours", minimum=0, maximum=720),
    estimators={"default": Estimator("watching_v1", ridge, "ridge regression")},
    request=WatchingRequest,
    answer=HoursAnswer,
    respond=hours,
    questions=questions,
)
LEVELS = replace(
    USE_CASE,
    model_name="watching_levels",
    title="Level of hours watched in the next month",
    source=FromStore(ExtractSchema("user_id", "watch_users", (USERS, USAGE), LEVEL, "level")),
    target=Multiclass(CLASSES),
    estimators={"default": Estimator("watching_v1", regression, "multinomial logistic regression")},
    answer=LevelAnswer,
    respond=level,
)
